// Captions of a folder: search and replace, add, remove and reorder over all of them, each shown first and undone at will.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const MOST_SHOWN = 200;

    // kind, its words, and which boxes it reads.
    function kinds() {
        const t = db.words.t;
        return [
            ["replace", t("Replace text"), ["old", "new"]],
            ["replace-tag", t("Replace a tag"), ["old", "new"]],
            ["add", t("Add tags in front"), ["tags"]],
            ["remove", t("Remove tags"), ["tags"]],
            ["reorder", t("Put tags first"), ["tags"]],
        ];
    }

    function editor() {
        const { el, button, fill } = db.dom;
        const t = db.words.t;
        const kind = el("select", { class: "dreambooth-input", "aria-label": t("Edit"), id: "dreambooth_caption_kind" }, kinds().map(([value, words]) => el("option", { value }, words)));
        const boxes = { old: box(t("this")), new: box(t("by this")), tags: box(t("tags, with commas between them")) };
        const shown = el("div", {});
        const show = () => {
            const [, , wanted] = kinds().find(([value]) => value === kind.value);
            for (const [name, one] of Object.entries(boxes)) one.hidden = !wanted.includes(name);
        };
        kind.addEventListener("change", show);
        show();
        const wish = (isApplied) => ({ folder: folder(), kind: kind.value, old: boxes.old.value, new: boxes.new.value, tags: tagsOf(boxes.tags.value), apply: isApplied });
        const edit = async (isApplied) => {
            const answer = await db.routes.editCaptions(wish(isApplied));
            fill(shown, changes(answer));
            if (isApplied) db.say.note(t("{count} captions are changed.", { count: answer.files.length }));
        };
        const undo = async () => {
            const answer = await db.routes.undoCaptions(folder());
            fill(shown, el("p", {}, `${t("Taken back")}: ${answer.action}`));
        };
        return el(
            "div",
            { class: "dreambooth-captions" },
            el("div", { class: "dreambooth-row" }, kind, Object.values(boxes), button(t("Show what changes"), () => edit(false), { id: "dreambooth_caption_show" }), button(t("Change them"), () => edit(true), { kind: "primary", id: "dreambooth_caption_apply" }), button(t("Undo"), undo, { id: "dreambooth_caption_undo" })),
            shown,
        );
    }

    function box(words) {
        return db.dom.el("input", { type: "text", class: "dreambooth-input dreambooth-narrow", placeholder: words, "aria-label": words, spellcheck: "false" });
    }

    function tagsOf(text) {
        return text.split(",").map((one) => one.trim()).filter(Boolean);
    }

    function folder() {
        return db.schema.value("concepts.0.folder") || "";
    }

    function changes(answer) {
        const { el } = db.dom;
        const t = db.words.t;
        if (!answer.files.length) return el("p", { class: "dreambooth-empty" }, t("Nothing changes."));
        const rows = answer.files.slice(0, MOST_SHOWN).map((one) => el("tr", {}, el("td", {}, one.file), el("td", {}, one.before === null ? "" : one.before), el("td", {}, one.after)));
        const failed = answer.failed.map((one) => el("p", { class: "dreambooth-plan-problem" }, [one.where, one.what, one.todo].filter(Boolean).join(" ")));
        return [failed, el("table", { class: "dreambooth-table" }, el("thead", {}, el("tr", {}, [t("File"), t("now"), t("then")].map((one) => el("th", {}, one)))), el("tbody", {}, rows))];
    }

    db.captions = { editor };
})();
