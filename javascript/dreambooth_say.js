// What the page says to its user: a line at the top that stays until it is closed, and the window's title.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let place = null;

    function at(element) {
        place = element;
    }

    function line(kind, text, more) {
        if (!place) return null;
        const { el, button } = db.dom;
        const made = el(
            "div",
            { class: `dreambooth-said dreambooth-said-${kind}`, role: kind === "problem" ? "alert" : "status" },
            el("span", { class: "dreambooth-said-text" }, text),
            more || null,
            button("×", () => made.remove(), { kind: "plain", title: db.words.t("Close") }),
        );
        [...place.children].filter((one) => one.querySelector(".dreambooth-said-text").textContent === text).forEach((one) => one.remove());
        place.append(made);
        while (place.children.length > 4) place.firstChild.remove();
        return made;
    }

    // Problems of settings go to their fields; the line says how many there are.
    function problem(error) {
        if (!(error instanceof db.api.Problem)) {
            console.error(error);
            line("problem", String(error));
            return;
        }
        const all = error.all;
        const ofFields = all.filter((one) => one.where && db.schema.field(String(one.where).split(" ")[0]));
        if (ofFields.length) db.plan.tell(ofFields);
        const others = all.map((one) => [nameOf(one.where), db.words.told(one)].filter(Boolean).join(" "));
        others.slice(0, 3).forEach((text) => line("problem", text));
    }

    function nameOf(where) {
        const path = String(where || "").split(" ")[0];
        const field = path && db.schema.field(path);
        const named = field || db.schema.groups().find((one) => one.path === path);
        return named ? `${db.words.label(named.title)}:` : where ? `${where}:` : "";
    }

    function note(text) {
        line("note", text);
    }

    function clear() {
        if (place) place.replaceChildren();
    }

    db.say = { at, line, problem, note, clear };
})();
