// Presets and wizards: what one would change is shown before it is applied.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let list = null;
    const WIZARDS = { Person: "Training Wizard (Person)", "Object/Style": "Training Wizard (Object/Style)" };

    function row(more) {
        const { el, button, fill } = db.dom;
        const t = db.words.t;
        const about = el("span", { class: "dreambooth-hint" });
        const own = db.keeping.ofOwn();
        list = el("select", { class: "dreambooth-input", id: "dreambooth_preset", "aria-label": t("Preset") });
        const tell = () => {
            const found = chosen();
            about.textContent = found ? db.words.said(found.about) : "";
            own.forEach((one) => (one.hidden = !found || !found.is_own));
        };
        list.addEventListener("change", tell);
        const draw = () => {
            const kept = list.value;
            fill(list, db.store.get("presets").map((one) => el("option", { value: one.name }, one.is_own ? one.name : db.words.label(WIZARDS[one.name] || one.name))));
            if (db.store.get("presets").some((one) => one.name === kept)) list.value = kept;
            tell();
        };
        db.store.listen("presets", draw);
        draw();
        return [list, button(t("Apply"), () => apply(list.value), { id: "dreambooth_apply_preset" }), own, more, about];
    }

    // The three that guides to the old extension name, each one press away.
    function wizards() {
        const { button } = db.dom;
        const t = db.words.t;
        const named = ["Person", "Object/Style"].map((name) => button(db.words.label(WIZARDS[name]), () => apply(name), { title: (db.store.get("presets").find((one) => one.name === name) || {}).about }));
        return [...named, button(db.words.label("Performance Wizard"), (made) => db.performance.ask(made), { id: "dreambooth_performance", title: t("What is fast on a card without learning anything else") })];
    }

    function chosen() {
        return db.store.get("presets").find((one) => one.name === list.value);
    }

    function choose(name) {
        list.value = name;
        list.dispatchEvent(new Event("change"));
    }

    async function apply(name) {
        const t = db.words.t;
        const answer = await db.routes.preset(name, db.schema.nested(db.store.get("values")));
        if (!answer.changes.length) {
            db.say.note(t("The settings are like this already."));
            return;
        }
        if (await confirmed(name, answer.changes)) db.store.put("values", db.schema.flat(answer.settings));
    }

    function confirmed(name, changes) {
        const { el, button } = db.dom;
        const t = db.words.t;
        return new Promise((resolve) => {
            const end = (answer) => {
                dialog.close();
                dialog.remove();
                resolve(answer);
            };
            const rows = changes.map((one) => el("tr", {}, el("td", {}, nameOf(one.path)), el("td", {}, text(one.before)), el("td", {}, text(one.after))));
            const dialog = el("dialog", { class: "dreambooth-dialog", "aria-label": name }, el("h3", {}, name), el("table", { class: "dreambooth-table" }, el("thead", {}, el("tr", {}, el("th", {}, t("Setting")), el("th", {}, t("now")), el("th", {}, t("then")))), el("tbody", {}, rows)), el("div", { class: "dreambooth-row" }, button(t("Apply"), () => end(true), { kind: "primary" }), button(t("Back"), () => end(false))));
            dialog.addEventListener("cancel", () => resolve(false));
            db.app.root().append(dialog);
            dialog.showModal();
        });
    }

    function nameOf(path) {
        const field = db.schema.field(path);
        return field ? db.words.label(field.title) : path;
    }

    function text(value) {
        return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
    }

    db.presets = { row, wizards, chosen, choose, nameOf, text };
})();
