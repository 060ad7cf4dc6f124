// Recipes of other tools: drop one, read what became of every key, take it over.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const FATES = ["needs you", "honoured differently", "no meaning here", "honoured"];

    function panel() {
        const { el } = db.dom;
        const t = db.words.t;
        const shown = el("div", {});
        const asRun = el("input", { type: "checkbox" });
        const chooser = el("input", { type: "file", class: "dreambooth-hidden", id: "dreambooth_import_file", onchange: () => chooser.files.length && read(chooser.files[0], asRun.checked, shown).catch(db.say.problem) });
        const zone = el("label", { class: "dreambooth-drop", for: "dreambooth_import_file" }, el("strong", {}, t("Drop a config here")), el("span", {}, t("kohya's TOML or JSON, Easy Training Scripts, db_config.json, a LoRA file, or a text with a training command")), chooser);
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
        const { t, said } = db.words;
        const sorted = [...told.keys].sort((one, other) => FATES.indexOf(one.fate) - FATES.indexOf(other.fate));
        return el(
            "div",
            {},
            el("p", {}, said(told.read_as)),
            told.notes.map((one) => el("p", { class: "dreambooth-hint" }, said(one))),
            told.missing.length ? el("ul", { class: "dreambooth-findings" }, told.missing.map((one) => el("li", {}, lacking(one)))) : null,
            el("table", { class: "dreambooth-table" }, el("thead", {}, el("tr", {}, [t("Key"), t("Value"), t("What became of it"), ""].map((one) => el("th", {}, one)))), el("tbody", {}, sorted.map(row))),
            told.differences.map((one) => el("p", {}, `${said(one.topic)}: ${said(one.tool)} ${t("Meant")}: ${said(one.meant)}`)),
        );
    }

    // "concepts: there are no pictures to train on.": the setting, and what is the matter with it.
    function lacking(text) {
        const [, path, rest] = /^([\w.]+): ([^]*)$/.exec(text) || [null, "", text];
        return path ? `${db.presets.nameOf(path)}: ${db.words.said(rest)}` : db.words.said(rest);
    }

    function row(one) {
        const { el } = db.dom;
        const { t, said } = db.words;
        const sets = Object.entries(one.sets).map(([path, value]) => `${db.presets.nameOf(path)} = ${db.presets.text(value)}`).join(", ");
        return el("tr", { class: one.fate === "needs you" ? "dreambooth-needs-you" : "" }, el("td", {}, one.key), el("td", {}, db.presets.text(one.value)), el("td", {}, t(one.fate)), el("td", {}, [sets, said(one.says)].filter(Boolean).join(" ")));
    }

    db.recipes = { panel };
})();
