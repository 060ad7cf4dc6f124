// The line above Train: what the settings amount to, checked by the server a moment after each change.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const WAIT_MS = 350;
    // A forecast takes the server a moment: it is asked for when nothing changes for a while.
    const FORECAST_WAIT_MS = 900;
    const MOST_NAMED = 5;
    let asked = 0;
    // What the server said when it was asked to do more than check: it holds until a setting changes or it is asked again.
    let told = { values: "", problems: [] };

    function line() {
        const made = db.dom.el("div", { class: "dreambooth-plan", role: "status" });
        const draw = () => show(made);
        db.store.listen(["plan", "problems", "isChecking", "forecast"], draw);
        draw();
        return made;
    }

    function show(made) {
        const { el, fill } = db.dom;
        const plan = db.store.get("plan");
        const t = db.words.t;
        made.setAttribute("aria-busy", String(db.store.get("isChecking") === true));
        if (!plan && db.store.get("isChecking")) {
            fill(made, el("span", { class: "dreambooth-plan-why" }, t("Counting")));
            return;
        }
        if (!plan && db.store.get("problems").length) {
            fill(made, attention());
            return;
        }
        if (!plan) {
            fill(made, el("span", { class: "dreambooth-plan-line" }, t("Choose pictures, and the number of steps appears here.")));
            return;
        }
        fill(
            made,
            plan.line ? el("div", { class: "dreambooth-plan-line" }, db.arithmetic.said(plan.line)) : null,
            plan.line ? needs() : null,
            plan.line ? ways() : null,
            plan.line ? el("ul", { class: "dreambooth-reasons" }, reasons(plan).map((one) => el("li", {}, one))) : null,
            (plan.refused || []).map((one) => el("div", { class: "dreambooth-plan-problem" }, [one.where, db.words.told(one)].filter(Boolean).join(" "))),
            attention(),
        );
    }

    // Why it cannot start: how many settings, which, and the way there.
    function attention() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const problems = db.store.get("problems");
        if (!problems.length) return null;
        const names = [...new Set(problems.map((one) => db.presets.nameOf(String(one.where).split(" ")[0])))];
        const some = `${names.slice(0, MOST_NAMED).join(", ")}${names.length > MOST_NAMED ? ", …" : ""}`;
        return el("div", { class: "dreambooth-row" }, el("span", { class: "dreambooth-plan-problem" }, `${t("{count} settings need attention.", { count: problems.length })} ${some}`), button(t("All settings"), () => db.app.show("training"), { kind: "plain" }));
    }

    // Time and memory, with the reason on hover.
    function needs() {
        const t = db.words.t;
        const found = db.store.get("forecast");
        if (!found) return null;
        const peak = db.text.bytes(found.peak);
        const memory = found.room ? t("{needed} of {room}", { needed: peak, room: db.text.bytes(found.room) }) : peak;
        const time = found.seconds ? t("about {time}", { time: db.text.seconds(found.seconds) }) : "";
        const little = found.fits === false ? ` (${t("too little")})` : "";
        const phases = Object.entries(found.phases).map(([name, one]) => `${name}: ${db.text.bytes(one.total)}`);
        const title = [...phases, ...found.rests_on.map(db.words.said)].join("\n");
        return db.dom.el("div", { class: found.fits === false ? "dreambooth-plan-problem" : "dreambooth-plan-line", title }, [time, `${t("Memory")}: ${memory}${little}`].filter(Boolean).join(", "));
    }

    // What would fit where it does not: it changes what is learned, so that it is taken by a press alone.
    function ways() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const found = db.store.get("forecast");
        if (!found || found.fits !== false) return null;
        if (found.isLooking) return el("div", { class: "dreambooth-hint" }, t("Looking for what would fit"));
        if (!found.offers.length) return null;
        const take = (offer) => db.store.put("values", { ...db.store.get("values"), ...offer.changes });
        const rows = found.offers.map((one) => el("div", { class: "dreambooth-row dreambooth-choice" }, button(t("Apply"), () => take(one)), el("span", {}, db.performance.what(one)), el("span", { class: "dreambooth-hint" }, db.performance.costs(one))));
        return el("div", { class: "dreambooth-offers" }, el("div", {}, t("It would fit with one of these, each of which changes what is learned:")), rows);
    }

    // A reason behind each number.
    function reasons(plan) {
        const t = db.words.t;
        const files = Object.entries(plan.counts).map(([kind, count]) => `${count} x ${db.results.kindText(kind)}`);
        return [
            plan.previews && plan.previews.length ? t("The first preview after {step} steps, {count} in all", { step: db.text.whole(plan.previews[0]), count: plan.previews.length }) : "",
            plan.new_class_pictures ? t("{count} class pictures are drawn first", { count: db.text.whole(plan.new_class_pictures) }) : "",
            `${t("Disk")}: ${db.words.said(plan.disk)}${plan.disk_is_enough ? "" : ` (${t("too little")})`}`,
            files.length ? `${t("Files")}: ${files.join(", ")}` : "",
        ].filter(Boolean);
    }

    // Answers of questions that were overtaken are thrown away.
    async function check() {
        const number = (asked += 1);
        db.store.put("isChecking", true);
        let answer;
        try {
            answer = await db.routes.check(db.schema.nested(db.store.get("values")), db.models.wantedName());
        } finally {
            if (number === asked) db.store.put("isChecking", false);
        }
        if (number !== asked) return;
        db.store.put("notices", answer.notices || []);
        db.store.put("problems", withTold(answer.problems || []));
        db.store.put("plan", answer.plan || null);
        db.store.put("forecast", null);
        if (answer.plan && answer.plan.line) window.setTimeout(() => look(number).catch(() => undefined), FORECAST_WAIT_MS);
    }

    function tell(problems) {
        told = { values: JSON.stringify(db.store.get("values")), problems };
        db.store.put("problems", withTold([]));
    }

    function withTold(found) {
        if (told.values !== JSON.stringify(db.store.get("values"))) return found;
        return [...found, ...told.problems.filter((one) => !found.some((other) => other.where === one.where))];
    }

    // Without an answer the line does without: what is in the way of a run was said by the check. What would fit is
    // asked for after what is needed: to find it takes as long again.
    async function look(number) {
        if (number !== asked) return;
        const ask = (offers) => db.routes.forecast(db.models.wantedName(), db.schema.nested(db.store.get("values")), offers);
        const found = await ask(false);
        if (number !== asked) return;
        const isLooking = found.fits === false;
        db.store.put("forecast", { ...found, isLooking });
        if (!isLooking) return;
        const whole = await ask(true).catch(() => found);
        if (number === asked) db.store.put("forecast", whole);
    }

    function follow() {
        db.plan.later = db.dom.debounced(() => check().catch(db.say.problem), WAIT_MS);
        db.store.listen(["values", "model"], () => db.plan.later());
        db.plan.later();
    }

    db.plan = { line, check, follow, tell, later: () => undefined };
})();
