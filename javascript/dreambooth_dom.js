// Elements from values. Whatever a user or a file gave is put in as text, never as markup.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const SVG = "http://www.w3.org/2000/svg";
    const SVG_TAGS = new Set(["svg", "path", "line", "text", "g", "circle", "rect", "polyline", "title"]);
    const turns = new Map();
    let counter = 0;

    // el("button", {class: "x", onclick: f}, "words", other, [more]); false and null children are left out.
    function el(tag, attributes, ...children) {
        const isSvg = SVG_TAGS.has(tag);
        const made = isSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
        for (const [name, value] of Object.entries(attributes || {})) set(made, name, value);
        add(made, children);
        return made;
    }

    function set(made, name, value) {
        if (value === undefined || value === null || value === false) return;
        if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
        else if (name === "value" || name === "checked" || name === "disabled") made[name] = value;
        else if (name === "dataset") Object.assign(made.dataset, value);
        else made.setAttribute(name, value === true ? "" : String(value));
    }

    function add(parent, children) {
        for (const child of children.flat(Infinity)) {
            if (child === null || child === undefined || child === false) continue;
            parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
        }
    }

    function fill(parent, ...children) {
        parent.replaceChildren();
        add(parent, children);
        return parent;
    }

    function button(text, action, options) {
        const { kind = "secondary", title = "", disabled = false, id } = options || {};
        const made = el("button", { type: "button", class: `dreambooth-button dreambooth-${kind}`, title, disabled, id });
        made.textContent = text;
        made.addEventListener("click", () => guarded(made, action));
        return made;
    }

    // While an action waits for the server its button cannot be pressed twice; what went wrong is said.
    async function guarded(made, action) {
        if (made.getAttribute("aria-busy") === "true") return;
        made.setAttribute("aria-busy", "true");
        try {
            await action(made);
        } catch (error) {
            db.say.problem(error);
        } finally {
            made.removeAttribute("aria-busy");
        }
    }

    // A link only ever leads to our own routes or is left out.
    function picture(source, alt, attributes) {
        return el("img", { src: source, alt: alt || "", loading: "lazy", decoding: "async", ...attributes });
    }

    function uniqueId(stem) {
        counter += 1;
        return `dreambooth_${stem.replace(/[^a-z0-9_]+/gi, "_")}_${counter}`;
    }

    // Calls at most once in so many milliseconds, with the last arguments.
    function debounced(action, wait) {
        let timer = 0;
        return (...args) => {
            clearTimeout(timer);
            timer = setTimeout(() => action(...args), wait);
        };
    }

    // Answers may overtake each other: what this gives at a question says, at its answer, whether that is still news.
    function ask(what) {
        const turn = turns.get(what) || { asked: 0, taken: 0 };
        turns.set(what, turn);
        const number = (turn.asked += 1);
        return () => {
            if (number < turn.taken) return false;
            turn.taken = number;
            return true;
        };
    }

    db.dom = { el, fill, add, button, picture, uniqueId, debounced, guarded, ask };
})();
