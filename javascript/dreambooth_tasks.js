// Short work beside the runs: its bar while it goes on, and what came of it.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const LOOK_EVERY_MS = 700;
    const OVER = ["done", "failed", "cancelled"];
    let looking = false;

    // What is done with the answer of a kind of task.
    function after(kind) {
        return { merge: db.tools.made, resize: db.tools.made, compare: db.compare.made, tag: db.tagger.made, "fetch-tagger": db.tagger.fetched }[kind];
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
        return { merge: t("Merge to checkpoint"), resize: t("Resize rank"), compare: t("Compare at strengths"), tag: t("Tagger"), "fetch-tagger": t("Download the tagger") }[kind] || kind;
    }

    async function stop(one) {
        await db.routes.stopTask(one.id);
        await look();
    }

    // To be called with what a route that began a task gave.
    function follow(task) {
        db.store.put("tasks", [task, ...(db.store.get("tasks") || [])]);
        watch();
    }

    // After a reload of the page: what still goes on is shown again.
    async function resume() {
        if (looking) return;
        db.store.put("tasks", await db.routes.tasks());
        watch();
    }

    async function watch() {
        if (looking) return;
        looking = true;
        try {
            while ((db.store.get("tasks") || []).some((one) => !OVER.includes(one.status))) {
                await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
                await look();
            }
        } catch (error) {
            db.say.problem(error);
        } finally {
            looking = false;
        }
    }

    async function look() {
        const before = new Map((db.store.get("tasks") || []).map((one) => [one.id, one.status]));
        const now = await db.routes.tasks();
        db.store.put("tasks", now);
        for (const one of now) if (OVER.includes(one.status) && before.has(one.id) && !OVER.includes(before.get(one.id))) await tell(one);
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
