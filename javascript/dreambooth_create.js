// A model folder that knows its base. Nothing is copied: it takes a second.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    function panel() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const name = el("input", { type: "text", id: "dreambooth_create_name", class: "dreambooth-input", autocomplete: "off" });
        const base = el("input", { type: "text", id: "dreambooth_create_base", class: "dreambooth-input", list: "dreambooth_create_bases", autocomplete: "off", spellcheck: "false" });
        const choices = el("datalist", { id: "dreambooth_create_bases" });
        const told = el("p", { class: "dreambooth-hint", role: "status" });
        const draw = () => db.dom.fill(choices, db.store.get("bases").map((one) => el("option", { value: one.value }, one.label)));
        db.store.listen("bases", draw);
        draw();
        const create = async () => {
            const made = await db.routes.createModel(name.value, base.value);
            told.textContent = t("{name} is made; it is trained from {base}.", { name: made.name, base: `${db.text.fileName(base.value)} (${made.family})` });
            await db.models.refresh();
            await db.models.choose(made.name);
            db.field.set("model.base", base.value);
        };
        return el(
            "div",
            { class: "dreambooth-card" },
            el("p", { class: "dreambooth-hint" }, t("Train makes a model by itself. Make one here to choose its base before anything else.")),
            el("div", { class: "dreambooth-grid" }, row(t("Name"), name, t("Also the name of the file: letters and numbers.")), row(db.words.label("Source Checkpoint"), base, t("A file from the list, or the path of a checkpoint or a diffusers folder. It is only read."))),
            el("div", { class: "dreambooth-row" }, button(db.words.label("Create Model"), create, { kind: "primary", id: "dreambooth_create" })),
            choices,
            told,
        );
    }

    function row(label, control, help) {
        const { el } = db.dom;
        return el("div", { class: "dreambooth-field" }, el("label", { class: "dreambooth-label", for: control.id }, label), control, el("div", { class: "dreambooth-hint" }, help));
    }

    db.create = { panel };
})();
