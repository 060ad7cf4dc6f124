// Short work beside the runs: its bar while it goes on, and what came of it.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const LOOK_EVERY_MS = 700;
    const OVER = ["done", "failed", "cancelled"];
    // Ids of those whose end nobody was told of yet.
    const followed = new Set();
    let looking = false;

    // What is done with the answer of a kind of task.
    function after(kind) {
        return { merge: db.tools.made, resize: db.tools.made, compare: db.compare.made, tag: db.tagger.made, "fetch-tagger": db.tagger.fetched, "fetch-base": db.create.fetched, "class-pictures": db.classes.made }[kind];
    }

    // A list of those that go on or wait; it is empty most of the time.
    function list() {
        const made = db.dom.el("div", { class: "dreambooth-tasks" });
        const draw = () => db.dom.fill(made, (db.store.get("tasks") || []).filter((one) => !OVER.includes(one.status)).map(line));
        db.store.listen("tasks", draw);
        draw();
        return made;
    }

    function line(one) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const bar = el("progress", { class: "dreambooth-bar", max: one.total || 1, "aria-label": t("Progress") });
        if (one.total) bar.value = one.done;
        const told = one.status === "waiting" ? t("waiting") : one.total ? `${one.done} / ${one.total}` : "";
        return el("div", { class: "dreambooth-row dreambooth-task", dataset: { kind: one.kind } }, el("strong", {}, `${name(one.kind)}: ${one.title}`), bar, el("span", { class: "dreambooth-hint" }, told), button(t("Stop"), () => stop(one)));
    }

    function name(kind) {
        const t = db.words.t;
        return { merge: t("Merge to checkpoint"), resize: t("Resize rank"), compare: t("Compare at strengths"), tag: t("Tagger"), "fetch-tagger": t("Download the tagger"), "fetch-base": t("Download the base"), "class-pictures": t("Class pictures") }[kind] || kind;
    }

    async function stop(one) {
        await db.routes.stopTask(one.id);
        await look();
    }

    // To be called with what a route that began a task gave.
    function follow(task) {
        followed.add(task.id);
        db.store.put("tasks", [task, ...(db.store.get("tasks") || [])]);
        watch();
    }

    // After a reload of the page: what still goes on is shown again.
    async function resume() {
        if (looking) return;
        await look();
        watch();
    }

    async function watch() {
        if (looking) return;
        looking = true;
        try {
            while (followed.size) {
                await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
                await look();
            }
        } catch (error) {
            db.say.problem(error);
        } finally {
            looking = false;
        }
    }

    // What began after this was asked for is not in the answer, and is kept.
    async function look() {
        const isNews = db.dom.ask("tasks");
        const known = new Set(followed);
        const now = await db.routes.tasks();
        if (!isNews()) return;
        const ids = new Set(now.map((one) => one.id));
        const newer = (db.store.get("tasks") || []).filter((one) => followed.has(one.id) && !known.has(one.id) && !ids.has(one.id));
        for (const id of known) if (!ids.has(id)) followed.delete(id);
        db.store.put("tasks", [...newer, ...now]);
        for (const one of now) {
            if (!OVER.includes(one.status)) followed.add(one.id);
            else if (followed.delete(one.id)) await tell(one);
        }
    }

    async function tell(one) {
        const t = db.words.t;
        if (one.status === "failed") db.say.problem(new db.api.Problem(one.problem));
        if (one.status === "cancelled") db.say.note(`${name(one.kind)}: ${t("stopped")}`);
        if (one.status !== "done") return;
        (one.answer.warnings || []).forEach((text) => db.say.note(text));
        if (after(one.kind)) await after(one.kind)(one);
    }

    db.tasks = { list, follow, resume };
})();
