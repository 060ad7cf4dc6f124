// All settings: presets, search, basic fields first and the rest on request, and the arithmetic as one types.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const OPEN_AT_FIRST = ["concepts", "length", "rates"];
    const ORDER = ["model", "concepts", "length", "rates", "network", "parts.unet", "parts.text_encoder_1", "parts.text_encoder_2", "parts.words", "words", "pictures", "captions", "class_pictures", "saving", "previews", "optimizer", "memory", "precision", "loss", "noise", "ema", "draws", "validation", "logging", "metadata"];

    function panel() {
        const { el } = db.dom;
        const t = db.words.t;
        const sections = ordered(db.schema.groups()).map((group) => db.form.section(group, { open: OPEN_AT_FIRST.includes(group.path) }));
        const search = el("input", { type: "search", class: "dreambooth-input", id: "dreambooth_search", placeholder: t("Find a setting by any of its names, kohya's too"), "aria-label": t("Find a setting"), oninput: () => filter(made, sections) });
        const all = el("input", { type: "checkbox", id: "dreambooth_show_all", checked: localStorage.getItem("dreambooth_all") === "1", onchange: () => filter(made, sections) });
        const curve = el("div", { class: "dreambooth-rate-curve" });
        const made = el(
            "div",
            { class: "dreambooth-training" },
            el("div", { class: "dreambooth-row" }, db.presets.wizards()),
            el("div", { class: "dreambooth-row" }, db.presets.row(db.keeping.buttons())),
            el("div", { class: "dreambooth-row dreambooth-find" }, search, el("label", { class: "dreambooth-option" }, all, t("Show all settings")), el("span", { class: "dreambooth-found", role: "status" })),
            db.plan.line(),
            sections,
        );
        const rates = sections.find((one) => one.dataset.group === "rates");
        rates.append(curve);
        db.store.listen("plan", () => db.rateCurve.show(curve));
        db.rateCurve.show(curve);
        db.form.follow(sections);
        db.store.listen(["values"], () => filter(made, sections));
        db.store.listen("problems", () => reveal(sections));
        made.all = all;
        made.search = search;
        filter(made, sections);
        return made;
    }

    function ordered(groups) {
        const place = (group) => (ORDER.includes(group.path) ? ORDER.indexOf(group.path) : ORDER.length);
        return [...groups].sort((one, other) => place(one) - place(other));
    }

    // Shows what the search or the switch asks for, and whatever was changed or is wrong.
    function filter(made, sections) {
        const words = db.finding.asked(made.search.value);
        const isAll = made.all.checked;
        localStorage.setItem("dreambooth_all", isAll ? "1" : "0");
        let found = 0;
        for (const section of sections) {
            let shown = 0;
            for (const field of section.querySelectorAll(".dreambooth-field")) {
                const isFound = words.length ? db.finding.isFound(field.dataset.names, words) : isAll || isWanted(field);
                field.hidden = !isFound;
                shown += isFound ? 1 : 0;
            }
            found += shown;
            section.hidden = shown === 0 && !isOffered(section, words, isAll);
            if (words.length) section.open = !section.hidden;
            else if (made.dataset.searched) section.open = OPEN_AT_FIRST.includes(section.dataset.group);
        }
        made.dataset.searched = words.length ? "1" : "";
        made.querySelector(".dreambooth-found").textContent = words.length ? db.words.t("{count} found", { count: found }) : "";
    }

    // A list with nothing to show has a button that adds to it.
    function isOffered(section, words, isAll) {
        const group = db.schema.groups().find((one) => one.path === section.dataset.group);
        if (!group.isList) return false;
        if (words.length) return !section.querySelector("fieldset") && group.fields.some((one) => db.finding.isFound(db.schema.names(one), words));
        return isAll || group.path === "concepts" || Boolean(section.querySelector("fieldset")) || db.schema.value("parts.words.train") === true;
    }

    // What a beginner sees: basic fields that do something in this run, and everything that was changed.
    function isWanted(field) {
        const is = (name) => field.classList.contains(`dreambooth-${name}`);
        return is("changed") || is("wrong") || (is("basic") && !is("without-effect"));
    }

    // A section with something wrong in it is opened.
    function reveal(sections) {
        for (const section of sections) if (section.querySelector(".dreambooth-wrong")) {
            section.hidden = false;
            section.open = true;
            section.querySelectorAll(".dreambooth-wrong").forEach((field) => (field.hidden = false));
        }
    }

    db.training = { panel };
})();
