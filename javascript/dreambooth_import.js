// Recipes of other tools: drop one, read what became of every key, take it over.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    function panel() {
        const { el } = db.dom;
        const t = db.words.t;
        const shown = el("div", {});
        const asRun = el("input", { type: "checkbox" });
        const chooser = el("input", { type: "file", class: "dreambooth-hidden", id: "dreambooth_import_file", onchange: () => chooser.files.length && read(chooser.files[0], asRun.checked, shown).catch(db.say.problem) });
        const zone = el("label", { class: "dreambooth-drop", for: "dreambooth_import_file", tabindex: 0 }, el("strong", {}, t("Drop a config here")), el("span", {}, t("kohya's TOML or JSON, Easy Training Scripts, db_config.json, a LoRA file, or a text with a training command")), chooser);
        for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) zone.addEventListener(kind, (event) => {
            event.preventDefault();
            zone.classList.toggle("dreambooth-over", kind === "dragenter" || kind === "dragover");
        });
        zone.addEventListener("drop", (event) => event.dataTransfer.files.length && read(event.dataTransfer.files[0], asRun.checked, shown).catch(db.say.problem));
        return el("div", { class: "dreambooth-card" }, zone, el("label", { class: "dreambooth-option" }, asRun, t("Repeat what the tool did where that differs from what its options say")), shown);
    }

    async function read(file, asRun, shown) {
        const { el, fill, button } = db.dom;
        const t = db.words.t;
        const answer = await db.routes.importRecipe(file, asRun);
        const take = () => {
            db.store.put("values", db.schema.flat(answer.settings));
            db.app.show("training");
        };
        fill(shown, el("h3", {}, file.name), el("div", { class: "dreambooth-row" }, button(t("Take these settings"), take, { kind: "primary", id: "dreambooth_take_import" })), report(answer.report));
    }

    function report(told) {
        const { el } = db.dom;
        const rows = (told.entries || []).map((one) => el("tr", { class: `dreambooth-fate-${String(one.fate || "").replace(/[^a-z-]/g, "")}` }, el("td", {}, one.key), el("td", {}, one.value === undefined ? "" : db.presets.text(one.value)), el("td", {}, db.words.t(String(one.fate || ""))), el("td", {}, one.text || "")));
        return rows.length ? el("table", { class: "dreambooth-table" }, el("tbody", {}, rows)) : el("pre", { class: "dreambooth-report" }, told.text || "");
    }

    db.recipes = { panel };
})();
