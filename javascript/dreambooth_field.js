// One setting as a control. What a person typed is sent as it is; the server says what is wrong with it.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const CHOOSERS = { checkpoint: "checkpoints", vae: "vaes", lora: "loras", embedding: "embeddings" };

    // The row of a setting: its label, control, unit, help on hover and on focus, and room for what is wrong.
    function row(path) {
        const { el } = db.dom;
        const field = db.schema.field(path);
        const id = db.dom.uniqueId(path);
        const control = controlOf(field, path, id, (value) => set(path, value));
        const help = db.words.help(field["x-path"], field.description);
        const made = el(
            "div",
            { class: `dreambooth-field dreambooth-kind-${field["x-kind"].replace(" ", "-")}`, dataset: { path } },
            el(
                "div",
                { class: "dreambooth-label-line" },
                el("label", { for: id, class: "dreambooth-label" }, db.words.label(field.title)),
                el("button", { type: "button", class: "dreambooth-reset", title: db.words.t("Back to the default"), onclick: () => set(path, undefined, true) }, "↺"),
            ),
            el("div", { class: "dreambooth-control" }, control, field["x-unit"] ? el("span", { class: "dreambooth-unit" }, db.words.t(field["x-unit"])) : null),
            el("div", { class: "dreambooth-problem", role: "alert", id: `${id}_problem` }),
            el("div", { class: "dreambooth-help", id: `${id}_help`, role: "note" }, help),
        );
        made.querySelector(`#${id}`).setAttribute("aria-describedby", `${id}_help ${id}_problem`);
        made.refresh = () => refresh(made, field, path, control);
        made.refresh();
        return made;
    }

    function refresh(made, field, path, control) {
        const value = db.schema.value(path);
        const isChanged = path in db.store.get("values") && JSON.stringify(value) !== JSON.stringify(field.default);
        made.classList.toggle("dreambooth-changed", isChanged);
        made.classList.toggle("dreambooth-without-effect", !db.schema.applies(path));
        const problem = db.store.get("problems").find((one) => one.where === path || (one.where || "").startsWith(`${path} `));
        const notice = db.store.get("notices").find((one) => one.where === path);
        const told = problem || notice;
        const place = made.querySelector(".dreambooth-problem");
        place.textContent = told ? db.words.told(told) : "";
        made.classList.toggle("dreambooth-wrong", Boolean(problem));
        made.classList.toggle("dreambooth-noticed", Boolean(!problem && notice));
        control.show(value);
    }

    function set(path, value, isReset) {
        const values = { ...db.store.get("values") };
        if (isReset) delete values[path];
        else values[path] = value;
        db.store.put("values", values);
    }

    // What is typed goes to `write`; `show` of the control puts a value in.
    function controlOf(field, path, id, write) {
        const kind = field["x-kind"];
        if (kind === "switch") return switchOf(id, write);
        if (field.enum) return choiceOf(id, write, field.enum, field["x-labels"] || {});
        if (kind === "duration") return durationOf(field, id, write);
        if (kind === "texts" && field.items && field.items.enum) return ticksOf(field, id, write);
        if (kind === "texts" || field["x-lines"]) return linesOf(field, id, write);
        return textOf(field, id, write);
    }

    function switchOf(id, write) {
        const { el } = db.dom;
        const box = el("input", { type: "checkbox", id, class: "dreambooth-switch", onchange: () => write(box.checked) });
        box.show = (value) => (box.checked = value === true);
        return box;
    }

    function choiceOf(id, write, choices, labels) {
        const { el } = db.dom;
        const list = el(
            "select",
            { id, class: "dreambooth-input", onchange: () => write(choices[list.selectedIndex]) },
            choices.map((one) => el("option", {}, db.words.choice(labels[one] || String(one)))),
        );
        list.show = (value) => (list.selectedIndex = choices.indexOf(value));
        return list;
    }

    // Any number of choices, in the order of the schema whatever the order of ticking.
    function ticksOf(field, id, write) {
        const { el } = db.dom;
        const boxes = field.items.enum.map((value) => el("input", { type: "checkbox", class: "dreambooth-switch", value, onchange: () => write(boxes.filter((one) => one.checked).map((one) => one.value)) }));
        const labels = boxes.map((box) => el("label", { class: "dreambooth-option" }, box, db.words.choice((field["x-labels"] || {})[box.value] || box.value)));
        const made = el("div", { id, class: "dreambooth-ticks", role: "group", "aria-label": db.words.label(field.title) }, labels);
        made.show = (value) => boxes.forEach((box) => (box.checked = Array.isArray(value) && value.includes(box.value)));
        return made;
    }

    // A number and its unit, "10" "epochs"; words such as "never" stand among the units.
    function durationOf(field, id, write) {
        const { el } = db.dom;
        const units = (field["x-units"] || []).map((unit) => ({ percent: "%", minutes: "min" })[unit] || unit);
        const words = field["x-words"] || [];
        const amount = el("input", { type: "text", inputmode: "decimal", id, class: "dreambooth-input", oninput: send });
        const unit = el("select", { class: "dreambooth-input dreambooth-units", "aria-label": db.words.t("Unit"), onchange: send }, [...units, ...words].map((one) => el("option", { value: one }, db.words.t(one))));
        function send() {
            const isWord = words.includes(unit.value);
            amount.disabled = isWord;
            write(isWord ? unit.value : `${amount.value} ${unit.value}`);
        }
        const both = el("div", { class: "dreambooth-duration" }, amount, unit);
        both.show = (value) => {
            if (both.contains(document.activeElement)) return;
            const match = /^\s*([\d.]+(?:e[+-]?\d+)?)\s*(.+?)\s*$/i.exec(String(value));
            const found = match ? match[2].replace(/^steps?$/, "steps").replace(/^epochs?$/, "epochs") : String(value);
            amount.value = match ? match[1] : "";
            if ([...units, ...words].includes(found)) unit.value = found;
            amount.disabled = words.includes(unit.value);
        };
        return both;
    }

    function linesOf(field, id, write) {
        const { el } = db.dom;
        const isList = field["x-kind"] === "texts";
        const area = el("textarea", { id, class: "dreambooth-input", rows: field["x-lines"] || 2, spellcheck: "false", oninput: () => write(isList ? area.value.split("\n").filter((line) => line.trim()) : typed(field, area.value)) });
        area.show = (value) => {
            if (document.activeElement !== area) area.value = isList && Array.isArray(value) ? value.join("\n") : shown(value);
        };
        if (isList) area.placeholder = db.words.t("one a line");
        return area;
    }

    function textOf(field, id, write) {
        const { el } = db.dom;
        const choices = chooserOf(field);
        const list = choices.length ? el("datalist", { id: `${id}_list` }, choices.map((one) => el("option", { value: one.value }, one.label))) : null;
        const inherits = field["x-inherits"];
        const input = el("input", { type: "text", id, class: "dreambooth-input", autocomplete: "off", spellcheck: "false", list: list ? list.id : undefined, inputmode: ["whole", "number"].includes(field["x-kind"]) ? "decimal" : undefined, oninput: () => write(typed(field, input.value)) });
        const browse = field["x-picks"] === "folder" ? db.browse.button(() => input.value, write) : null;
        const both = el("div", { class: "dreambooth-text" }, input, list, browse);
        both.show = (value) => {
            if (inherits) input.placeholder = inherited(inherits);
            if (document.activeElement !== input) input.value = inherits && value === 0 ? "" : shown(value);
        };
        return both;
    }

    // What counts where the setting is left empty, which is written 0.
    function inherited(path) {
        return `${shown(db.schema.value(path))} (${db.words.short(db.schema.field(path).title)})`;
    }

    function chooserOf(field) {
        const files = CHOOSERS[field["x-picks"]];
        if (files) return (db.store.get(files === "checkpoints" ? "bases" : files) || []).map((one) => ({ value: one.value || one.path || one, label: one.label || "" }));
        return Object.entries(field["x-labels"] || {}).map(([value, label]) => ({ value, label: db.words.label(label) }));
    }

    // As JSON has it where the text is one, else the text: the server's sentence stands beside the field then.
    function typed(field, text) {
        const kind = field["x-kind"];
        const words = text.trim();
        if (field["x-inherits"] && words === "") return 0;
        if (kind === "whole" || kind === "number") return words !== "" && Number.isFinite(Number(words)) ? Number(words) : text;
        if (kind === "wholes" || kind === "numbers") return words ? words.split(/[,\s]+/).map((one) => (Number.isFinite(Number(one)) ? Number(one) : one)) : [];
        if (kind.endsWith("table") || kind === "overrides") return tableFrom(words, text);
        return text;
    }

    function tableFrom(words, text) {
        if (!words) return {};
        try {
            return JSON.parse(words);
        } catch (error) {
            return Object.fromEntries(words.split(/[;\n]+|\s+(?=[^\s=]+=)/).filter((part) => part.includes("=")).map((part) => [part.split("=")[0].trim(), scalar(part.slice(part.indexOf("=") + 1).trim())])) || text;
        }
    }

    function scalar(words) {
        if (words === "true" || words === "false") return words === "true";
        return words !== "" && Number.isFinite(Number(words)) ? Number(words) : words;
    }

    function shown(value) {
        if (Array.isArray(value)) return value.join(", ");
        if (value && typeof value === "object") return Object.entries(value).map(([name, one]) => `${name}=${typeof one === "object" ? JSON.stringify(one) : one}`).join("; ");
        if (typeof value === "number") return Math.abs(value) < 1e-3 && value !== 0 ? value.toExponential().replace("e+", "e") : String(value);
        return value === undefined || value === null ? "" : String(value);
    }

    db.field = { row, set, control: controlOf, shown, inherited };
})();
