// Sections of settings as forms: basic fields first, the rest on request; lists with entries that come and go.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const MOST_IN_DIGEST = 4;

    // All of a section, or only the fields that `wanted` names by their key.
    function section(group, options) {
        const { el } = db.dom;
        const { open = false, wanted = null } = options || {};
        const body = el("div", { class: "dreambooth-section-body" });
        const made = el(
            "details",
            { class: "dreambooth-section", open, dataset: { group: group.path } },
            el("summary", { class: "dreambooth-section-title" }, db.words.label(group.title), el("span", { class: "dreambooth-count" })),
            el("p", { class: "dreambooth-section-help" }, db.words.help(group.path, group.help)),
            body,
        );
        made.build = () => build(made, group, body, wanted);
        made.refresh = () => {
            made.querySelectorAll(".dreambooth-field").forEach((one) => one.refresh());
            made.querySelector(".dreambooth-count").textContent = group.isList ? String(db.schema.count(group.path)) : digest(group);
        };
        made.build();
        made.refresh();
        return made;
    }

    // What a closed section holds: its basic settings and whatever was changed, in a few words.
    function digest(group) {
        const values = db.store.get("values");
        const shown = group.fields.filter((one) => db.schema.applies(one["x-path"]) && (one["x-basic"] || one["x-path"] in values));
        return shown.slice(0, MOST_IN_DIGEST).map((one) => `${one.title} ${brief(one)}`).join(", ");
    }

    function brief(one) {
        const value = db.schema.value(one["x-path"]);
        return one["x-inherits"] && value === 0 ? db.field.inherited(one["x-inherits"]) : short(value);
    }

    function short(value) {
        if (value === true) return "✓";
        if (value === false) return "✗";
        const text = Array.isArray(value) ? String(value.length) : typeof value === "number" ? db.text.number(value) : String(value);
        return text.length > 24 ? `…${text.slice(-23)}` : text || "–";
    }

    function build(made, group, body, wanted) {
        const { el, fill } = db.dom;
        const fields = group.fields.filter((one) => !wanted || wanted.includes(keyOf(one)));
        made.built = db.schema.count(group.path);
        if (!group.isList) {
            fill(body, grid(fields.map((one) => fieldOf(one, one["x-path"]))));
            return;
        }
        const entries = Array.from({ length: made.built }, (unused, number) => entry(group, fields, number));
        fill(body, entries, el("div", { class: "dreambooth-row" }, db.dom.button(addText(group), () => addEntry(group))));
    }

    function grid(fields) {
        return db.dom.el("div", { class: "dreambooth-grid" }, fields);
    }

    function fieldOf(one, path) {
        const made = db.field.row(path);
        made.classList.toggle("dreambooth-basic", one["x-basic"] === true);
        made.dataset.names = db.schema.names(one);
        return made;
    }

    function entry(group, fields, number) {
        const { el, button } = db.dom;
        return el(
            "fieldset",
            { class: "dreambooth-entry" },
            el("legend", {}, `${db.words.label(group.title.replace(/s$/, ""))} ${number + 1}`),
            grid(fields.map((one) => fieldOf(one, `${group.path}.${number}.${keyOf(one)}`))),
            el("div", { class: "dreambooth-row" }, button(db.words.t("Remove"), () => removeEntry(group, number))),
        );
    }

    function addText(group) {
        return group.path === "words" ? db.words.t("Add a word") : db.words.t("Add a concept");
    }

    function addEntry(group) {
        const first = keyOf(group.fields[0]);
        const path = `${group.path}.${db.schema.count(group.path)}.${first}`;
        db.store.put("values", { ...db.store.get("values"), [path]: group.fields[0].default });
    }

    // Those behind it move up.
    function removeEntry(group, number) {
        const kept = {};
        for (const [path, value] of Object.entries(db.store.get("values"))) {
            const parts = path.split(".");
            if (parts[0] !== group.path) kept[path] = value;
            else if (Number(parts[1]) < number) kept[path] = value;
            else if (Number(parts[1]) > number) kept[[parts[0], Number(parts[1]) - 1, ...parts.slice(2)].join(".")] = value;
        }
        db.store.put("values", kept);
    }

    function keyOf(one) {
        return one["x-path"].split(".").pop();
    }

    // Keeps sections as they are while values change; a list that grew or shrank is built anew.
    function follow(sections) {
        const refresh = () => {
            for (const one of sections) {
                const group = db.schema.groups().find((other) => other.path === one.dataset.group);
                if (group.isList && one.built !== db.schema.count(group.path)) one.build();
                else one.refresh();
            }
        };
        return db.store.listen(["values", "problems", "notices"], refresh);
    }

    db.form = { section, follow };
})();
