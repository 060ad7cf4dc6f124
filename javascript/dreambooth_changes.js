// A copy of a queued run with other values of some settings.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    // Values by path, or null where it was closed.
    async function ask(entry, beside) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const before = db.schema.flat(await db.routes.settingsOfEntry(entry.id));
        const changes = {};
        return db.sheet.open(beside, t("What is different in the copy?"), (end) => {
            const rows = el("div", {});
            const names = el("datalist", { id: "dreambooth_setting_names" }, [...new Set(fields().map((one) => one["x-path"]))].map((path) => el("option", { value: path.replace("*", "0") }, db.words.label(db.schema.field(path).title))));
            const chooser = el("input", { type: "text", class: "dreambooth-input dreambooth-sheet-first", id: "dreambooth_change_name", list: names.id, placeholder: t("A setting, by any of its names"), "aria-label": t("Setting"), autocomplete: "off", spellcheck: "false" });
            const add = () => {
                if (!chooser.value.trim()) return;
                const path = pathOf(chooser.value);
                if (!path) throw new Error(t("There is no setting of this name."));
                if (!rows.querySelector(`[data-path="${path}"]`)) rows.append(row(path, before, changes));
                chooser.value = "";
            };
            chooser.addEventListener("change", () => pathOf(chooser.value) && add());
            return [
                el("div", { class: "dreambooth-row" }, chooser, names, button(t("Add"), add, { id: "dreambooth_change_add" })),
                rows,
                el("div", { class: "dreambooth-row" }, button(t("Queue the copy"), () => end(changes), { kind: "primary", id: "dreambooth_change_queue" })),
            ];
        });
    }

    function fields() {
        return db.schema.groups().flatMap((group) => group.fields);
    }

    // By its path, its label, or the name that another tool has for it.
    function pathOf(text) {
        const words = db.finding.fold(text);
        if (!words) return "";
        const found = fields().find((one) => db.finding.fold(one["x-path"].replace("*", "0")) === words) || fields().find((one) => db.schema.names(one).split("\n").includes(words));
        return found ? found["x-path"].replace("*", "0") : "";
    }

    function row(path, before, changes) {
        const { el } = db.dom;
        const field = db.schema.field(path);
        const id = db.dom.uniqueId(path);
        const value = path in before ? before[path] : field.default;
        const made = db.field.control(field, path, id, (typed) => (changes[path] = typed));
        made.show(value);
        return el("div", { class: "dreambooth-field", dataset: { path } }, el("label", { class: "dreambooth-label", for: id }, db.words.label(field.title)), made, el("div", { class: "dreambooth-hint" }, `${db.words.t("now")}: ${db.presets.text(value)}`));
    }

    db.changes = { ask };
})();
