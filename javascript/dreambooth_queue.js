// Runs that wait, the one under way, those that are over, and what broke off.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const LOOK_EVERY_MS = 700;
    const MOST_LOOKS = 60;

    function panel() {
        const { el } = db.dom;
        const made = el("div", { class: "dreambooth-queue" });
        const draw = () => show(made);
        db.store.listen(["queue", "stopped"], draw);
        draw();
        return made;
    }

    async function refresh() {
        const isNews = db.dom.ask("queue");
        const answer = await db.routes.queue();
        if (!isNews()) return;
        db.store.put("queue", answer);
        db.store.put("stopped", answer.stopped || []);
    }

    // A run tells its end before it has left the queue: its report is written in between.
    async function untilOver(model) {
        for (let tries = 0; tries < MOST_LOOKS; tries += 1) {
            await refresh();
            if (!db.store.get("queue").entries.some((one) => one.status === "running" && one.model === model)) return;
            await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
        }
    }

    function show(made) {
        const { el, fill, button } = db.dom;
        const t = db.words.t;
        const { entries, stops } = db.store.get("queue");
        // What is the same stays as it is: somebody may be about to press a button of it.
        const key = JSON.stringify([entries, stops, db.store.get("stopped")]);
        // A form that is open in it stays until it is closed.
        if (made.listed === key || made.querySelector(".dreambooth-sheet")) return;
        made.listed = key;
        const of = (status) => entries.filter((one) => one.status === status);
        const waiting = of("waiting");
        const held = waiting.some((one) => one.is_held);
        const toggle = el("input", { type: "checkbox", checked: stops, onchange: () => act(() => db.routes.stopAfter(toggle.checked)) });
        fill(
            made,
            stopped(),
            part(t("Under way"), of("running"), running),
            part(t("Waiting"), waiting, (one, number) => waitingRow(one, number, waiting.length)),
            el("div", { class: "dreambooth-row" }, el("label", { class: "dreambooth-option" }, toggle, t("Stop after the current run")), held ? button(t("Begin with what waits"), () => act(() => db.routes.release("")), { kind: "primary" }) : null),
            part(t("Over"), of("ended").reverse(), ended),
        );
    }

    // After a crash: what stopped, when, at which step, why if known, and the three ways on.
    function stopped() {
        const { el, button } = db.dom;
        const t = db.words.t;
        return (db.store.get("stopped") || []).map((one) =>
            el("div", { class: "dreambooth-card dreambooth-stopped" }, el("p", {}, db.words.said(one.sentence), one.time ? ` (${db.text.time(one.time)})` : ""), el("div", { class: "dreambooth-row" }, button(t("Go on"), () => goOn(one.model), { kind: "primary" }), button(t("Look"), () => look(one.model)), button(t("Discard"), () => discard(one.model)))),
        );
    }

    async function goOn(model) {
        await db.routes.resume(model, {}, 0);
        db.app.show("progress");
        await db.models.choose(model);
        await refresh();
    }

    // At once: whoever has turned to another panel by then stays there.
    async function look(model) {
        db.app.show("progress");
        await db.models.choose(model);
    }

    async function discard(model) {
        const t = db.words.t;
        if ((await db.pictures.ask(t("Discard the unfinished run of {name}? Its files stay.", { name: model }), [["yes", t("Discard"), "stop"]])) !== "yes") return;
        await db.routes.discard(model);
        await refresh();
    }

    function part(title, entries, row) {
        const { el } = db.dom;
        return el("div", { class: "dreambooth-card" }, el("h3", {}, title), entries.length ? el("ol", { class: "dreambooth-entries" }, entries.map(row)) : el("p", { class: "dreambooth-empty" }, db.words.t("Nothing.")));
    }

    function line(one, ...more) {
        const { el } = db.dom;
        const what = one.makes.length ? db.words.t("files from its last state") : one.action === "resume" ? (one.more_steps ? db.words.t("{count} steps more", { count: db.text.whole(one.more_steps) }) : db.words.t("the rest")) : db.words.t("a new run");
        return el("li", { class: "dreambooth-queued", dataset: { id: one.id } }, el("span", {}, el("strong", {}, one.model), ` ${what}`), more);
    }

    function running(one) {
        return line(one, db.dom.button(db.words.t("Look"), () => look(one.model)), copies(one));
    }

    // A copy waits behind everything else, also behind the run that it is a copy of.
    function copies(one) {
        const t = db.words.t;
        const same = db.dom.button(t("Duplicate"), () => act(() => db.routes.duplicate(one.id, {})), { title: t("The same run once more, behind all others") });
        return [same, withChange(one)];
    }

    function withChange(one) {
        const t = db.words.t;
        return one.makes.length ? null : db.dom.button(t("Duplicate with a change"), (made) => changed(one, made), { title: t("A copy of this run with other values of some settings") });
    }

    function waitingRow(one, number, count) {
        const { button } = db.dom;
        const t = db.words.t;
        return line(
            one,
            one.is_held ? db.dom.el("span", { class: "dreambooth-hint" }, t("held back")) : null,
            button("↑", () => act(() => db.routes.move(one.id, number - 1)), { disabled: number === 0, title: t("Earlier") }),
            button("↓", () => act(() => db.routes.move(one.id, number + 1)), { disabled: number === count - 1, title: t("Later") }),
            copies(one),
            button(t("Remove"), () => act(() => db.routes.remove(one.id))),
        );
    }

    function ended(one) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const problem = one.problem ? db.words.told(one.problem) : "";
        const told = [t(one.outcome), one.step ? t("after {count} steps", { count: db.text.whole(one.step) }) : "", problem].filter(Boolean).join(", ");
        return line(one, el("span", { class: "dreambooth-hint" }, told), button(t("Again"), (made) => again(one, made, {})), withChange(one), button(t("Remove"), () => act(() => db.routes.remove(one.id))));
    }

    async function changed(one, beside) {
        const changes = await db.changes.ask(one, beside);
        if (!changes) db.store.tell("queue");
        else if (one.status === "ended") await again(one, beside, changes);
        else await act(() => db.routes.duplicate(one.id, changes));
    }

    // As Train does: nothing that was trained is left behind, and nothing is gone on with, without a word.
    async function again(one, beside, changes) {
        await db.models.refresh();
        const model = db.store.get("models").find((other) => other.name === one.model);
        const isAsked = !one.makes.length && model && model.standing.was_begun;
        const wanted = isAsked ? await db.again.ask(model, beside, { changes, steps: one.more_steps }) : { way: "same", changes };
        if (wanted) await act(() => once(one, wanted));
        else db.store.tell("queue");
    }

    async function once(one, wanted) {
        if (wanted.way === "same") return db.routes.duplicate(one.id, wanted.changes);
        if (wanted.way !== "over") return db.routes.resume(one.model, wanted.changes, wanted.steps);
        if (one.action === "train") return db.routes.duplicate(one.id, wanted.changes, true);
        return db.routes.train(one.model, await db.routes.settingsOfEntry(one.id), { changes: wanted.changes, over: true });
    }

    async function act(action) {
        try {
            await action();
        } finally {
            await refresh();
        }
    }

    db.queue = { panel, refresh, untilOver };
})();
