// Captions of all concepts: search and replace, add, remove and reorder, each shown first and undone at will.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const MOST_SHOWN = 200;
    // Which folders each edit of this window touched, the last one at the end.
    const EDITS = "dreambooth_edits";
    const NOTHING_HERE = ["nothing-to-undo", "no-pictures"];

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
        const boxes = { old: box("old", t("this")), new: box("new", t("by this")), tags: box("tags", t("tags, with commas between them")) };
        const shown = el("div", {});
        const show = () => {
            const [, , wanted] = kinds().find(([value]) => value === kind.value);
            for (const [name, one] of Object.entries(boxes)) one.hidden = !wanted.includes(name);
        };
        kind.addEventListener("change", show);
        show();
        const wish = (folder, isApplied) => ({ folder, kind: kind.value, old: boxes.old.value, new: boxes.new.value, tags: tagsOf(boxes.tags.value), apply: isApplied });
        const edit = async (isApplied) => {
            const answers = [];
            for (const folder of folders()) answers.push(await db.routes.editCaptions(wish(folder, isApplied)));
            fill(shown, changes(answers));
            if (!isApplied) return;
            remember(folders().filter((folder, number) => answers[number].files.length));
            db.say.note(t("{count} captions are changed.", { count: answers.reduce((sum, one) => sum + one.files.length, 0) }));
        };
        const undo = async () => fill(shown, el("p", {}, `${t("Taken back")}: ${await takeBack()}`));
        return el(
            "div",
            { class: "dreambooth-captions" },
            el("div", { class: "dreambooth-row" }, kind, Object.values(boxes), button(t("Show what changes"), () => edit(false), { id: "dreambooth_caption_show" }), button(t("Change them"), () => edit(true), { kind: "primary", id: "dreambooth_caption_apply" }), button(t("Undo"), undo, { id: "dreambooth_caption_undo" })),
            shown,
        );
    }

    function box(name, words) {
        return db.dom.el("input", { type: "text", class: "dreambooth-input dreambooth-narrow", placeholder: words, "aria-label": words, spellcheck: "false", id: `dreambooth_caption_${name}` });
    }

    function tagsOf(text) {
        return text.split(",").map((one) => one.trim()).filter(Boolean);
    }

    // The folders of all concepts, each once; zips are not edited.
    function folders() {
        const all = Array.from({ length: db.schema.count("concepts") }, (_, number) => String(db.schema.value(`concepts.${number}.folder`) || "").trim());
        return [...new Set(all.filter((folder) => folder && !folder.toLowerCase().endsWith(".zip")))];
    }

    function changes(answers) {
        const { el } = db.dom;
        const t = db.words.t;
        const files = answers.flatMap((one) => one.files);
        const failed = answers.flatMap((one) => one.failed).map((one) => el("p", { class: "dreambooth-plan-problem" }, [one.where, db.words.told(one)].filter(Boolean).join(" ")));
        if (!files.length) return [failed, el("p", { class: "dreambooth-empty" }, t("Nothing changes."))];
        const rows = files.slice(0, MOST_SHOWN).map((one) => el("tr", {}, el("td", {}, one.file), el("td", {}, one.before === null ? "" : one.before), el("td", {}, one.after)));
        const more = files.length > MOST_SHOWN ? el("p", { class: "dreambooth-hint" }, t("and {count} more", { count: files.length - MOST_SHOWN })) : null;
        return [failed, el("table", { class: "dreambooth-table" }, el("thead", {}, el("tr", {}, [t("File"), t("now"), t("then")].map((one) => el("th", {}, one)))), el("tbody", {}, rows)), more];
    }

    function remembered() {
        try {
            return JSON.parse(sessionStorage.getItem(EDITS) || "[]");
        } catch (error) {
            return [];
        }
    }

    function remember(touched) {
        if (touched.length) sessionStorage.setItem(EDITS, JSON.stringify([...remembered(), touched].slice(-100)));
    }

    // The last edit of this window in every folder that it touched; else the last one of the first folder that has one.
    async function takeBack() {
        const edits = remembered();
        const touched = edits.pop();
        if (touched) {
            const answers = [];
            for (const folder of touched) answers.push(await db.routes.undoCaptions(folder));
            sessionStorage.setItem(EDITS, JSON.stringify(edits));
            return answers[0].action;
        }
        let refused = null;
        for (const folder of folders()) {
            try {
                return (await db.routes.undoCaptions(folder)).action;
            } catch (error) {
                if (!(error instanceof db.api.Problem) || !NOTHING_HERE.includes(error.told.code)) throw error;
                refused = error;
            }
        }
        if (refused) throw refused;
        return db.words.t("nothing");
    }

    // The caption of one picture, with the folder that it was found in; null where it is nowhere below a concept.
    async function found(path) {
        for (const folder of folders()) {
            const inside = plain(path).startsWith(`${plain(folder).replace(/\/+$/, "")}/`);
            if (!inside) continue;
            const { captions } = await db.routes.captions(folder);
            const row = captions.find((one) => plain(path).endsWith(`/${plain(one.picture)}`));
            if (row) return { ...row, folder };
        }
        return null;
    }

    function plain(path) {
        return String(path).replace(/\\/g, "/");
    }

    async function write(row, text) {
        const answer = await db.routes.editCaptions({ folder: row.folder, kind: "write", texts: { [row.id]: text }, apply: true });
        if (answer.failed.length) throw new db.api.Problem(answer.failed[0]);
        if (answer.files.length) remember([row.folder]);
        db.say.note(db.words.t("{count} captions are changed.", { count: answer.files.length }));
    }

    db.captions = { editor, folders, found, write, remember };
})();
