// The guided way: what to make, on which base, from which pictures, under which name. A model folder is made by itself.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const TRAINED = ["network.kind", "parts.unet.train", "parts.text_encoder_1.train", "parts.text_encoder_2.train", "parts.words.train", "parts.words.rate", "rates.learning_rate", "rates.schedule", "rates.warmup", "parts.text_encoder_1.rate"];
    const KINDS = [
        { id: "lora", title: "LoRA", about: "A small file for one character, product or style. The usual choice.", values: {} },
        { id: "whole", title: "Whole model (Dreambooth)", about: "A checkpoint of its own. Needs more memory and a lower rate.", values: { "network.kind": "none", "rates.learning_rate": 1e-6, "rates.schedule": "polynomial", "rates.warmup": "10 %", "parts.text_encoder_1.rate": 0 } },
        { id: "word", title: "Embedding", about: "A new word for what the model can nearly draw already. A few kilobytes.", values: { "network.kind": "none", "parts.unet.train": false, "parts.text_encoder_1.train": false, "parts.text_encoder_2.train": false, "parts.words.train": true } },
        { id: "both", title: "Embedding + LoRA", about: "The word learns who it is, the LoRA how it is drawn.", values: { "parts.words.train": true } },
    ];

    function panel() {
        const { el, button } = db.dom;
        const t = db.words.t;
        return el(
            "div",
            { class: "dreambooth-start" },
            step(1, t("What do you want to make?"), kinds()),
            step(2, t("Which model does it start from?"), base()),
            step(3, t("Which pictures show it?"), db.upload.area()),
            step(4, t("What is it called?"), names()),
            el("div", { class: "dreambooth-card dreambooth-go" }, db.plan.line(), db.findings.list(), el("div", { class: "dreambooth-row" }, button(db.words.label("Train"), (made) => db.top.train(made), { kind: "primary", id: "dreambooth_start_train" }), button(t("All settings"), () => db.app.show("training")))),
        );
    }

    function step(number, title, body) {
        const { el } = db.dom;
        return el("section", { class: "dreambooth-card dreambooth-step" }, el("h3", {}, el("span", { class: "dreambooth-number", "aria-hidden": "true" }, number), title), body);
    }

    function kinds() {
        const { el } = db.dom;
        const made = el("div", { class: "dreambooth-kinds", role: "radiogroup", "aria-label": db.words.t("What do you want to make?") });
        for (const kind of KINDS) {
            const radio = el("input", { type: "radio", name: "dreambooth_kind", value: kind.id, onchange: () => choose(kind) });
            made.append(el("label", { class: "dreambooth-kind" }, radio, el("strong", {}, db.words.t(kind.title)), el("span", {}, db.words.t(kind.about))));
        }
        const mark = () => {
            const chosen = chosenKind();
            made.querySelectorAll("input").forEach((one) => (one.checked = one.value === chosen));
        };
        db.store.listen("values", mark);
        mark();
        return made;
    }

    function chosenKind() {
        const isWhole = db.schema.value("network.kind") === "none";
        const hasWords = db.schema.value("parts.words.train") === true;
        if (isWhole) return hasWords && db.schema.value("parts.unet.train") !== true ? "word" : "whole";
        return hasWords ? "both" : "lora";
    }

    function choose(kind) {
        const kept = Object.fromEntries(Object.entries(db.store.get("values")).filter(([path]) => !TRAINED.includes(path) && !path.startsWith("words.")));
        db.store.put("values", { ...kept, ...kind.values, ...wordOf(kind.id) });
    }

    // The new word is called as the trigger is.
    function wordOf(id) {
        if (id !== "word" && id !== "both") return {};
        return { "words.0.name": db.schema.value("concepts.0.token") || db.store.get("model") || "" };
    }

    function base() {
        const { el } = db.dom;
        const list = el("select", { class: "dreambooth-input", id: "dreambooth_base", "aria-label": db.words.t("Source Checkpoint"), onchange: () => db.field.set("model.base", list.value) });
        const told = el("p", { class: "dreambooth-hint" });
        const draw = () => {
            const bases = db.store.get("bases");
            const chosen = db.schema.value("model.base");
            const known = bases.some((one) => one.value === chosen);
            db.dom.fill(list, chosen ? null : el("option", { value: "" }, db.words.t("Choose")), bases.map((one) => el("option", { value: one.value }, one.label)), chosen && !known ? el("option", { value: chosen }, db.text.fileName(chosen)) : null);
            list.value = chosen;
            const found = bases.find((one) => one.value === chosen);
            told.textContent = found && found.about ? found.about : "";
        };
        db.store.listen(["bases", "values"], draw);
        draw();
        return el("div", {}, list, told);
    }

    function names() {
        const { el } = db.dom;
        const t = db.words.t;
        const rows = [
            input("dreambooth_name", t("Name"), t("Also the name of the file: letters and numbers."), () => db.store.get("model") || db.store.get("newName") || db.schema.value("metadata.name") || "", (value) => {
                db.store.put("newName", value);
                if (db.store.get("model") !== value) db.store.put("model", "");
                db.plan.later();
            }),
            input("dreambooth_trigger", t("Trigger"), t("A rare word that will mean your subject in prompts, such as ohwx. Leave it empty for a style."), () => db.schema.value("concepts.0.token") || "", (value) => {
                const words = db.schema.value("parts.words.train") === true ? { "words.0.name": value } : {};
                db.store.put("values", { ...db.store.get("values"), "concepts.0.token": value, ...words });
            }),
            input("dreambooth_class", t("What it is"), t("A common word: girl, dog, vase. The model knows it and starts from there."), () => db.schema.value("concepts.0.class_token") || "", (value) => db.field.set("concepts.0.class_token", value)),
        ];
        return el("div", { class: "dreambooth-grid" }, rows);
    }

    function input(id, label, help, read, write) {
        const { el } = db.dom;
        const box = el("input", { type: "text", id, class: "dreambooth-input", autocomplete: "off", spellcheck: "false", oninput: () => write(box.value) });
        const draw = () => {
            if (document.activeElement !== box) box.value = read();
        };
        db.store.listen(["values", "model"], draw);
        draw();
        return el("div", { class: "dreambooth-field" }, el("label", { class: "dreambooth-label", for: id }, label), box, el("div", { class: "dreambooth-hint" }, help));
    }

    db.start = { panel };
})();
