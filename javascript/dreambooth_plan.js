// The line above Train: what the settings amount to, checked by the server a moment after each change.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const WAIT_MS = 350;
    let asked = 0;

    function line() {
        const made = db.dom.el("div", { class: "dreambooth-plan", role: "status" });
        const draw = () => show(made);
        db.store.listen(["plan", "problems"], draw);
        draw();
        return made;
    }

    function show(made) {
        const { el, fill } = db.dom;
        const plan = db.store.get("plan");
        const t = db.words.t;
        if (!plan) {
            fill(made, el("span", { class: "dreambooth-plan-line" }, t("Choose pictures, and the number of steps appears here.")));
            return;
        }
        const problems = db.store.get("problems").length;
        fill(
            made,
            plan.line ? el("div", { class: "dreambooth-plan-line", title: plan.arithmetic || "" }, plan.line) : null,
            plan.arithmetic ? el("div", { class: "dreambooth-plan-why" }, plan.arithmetic) : null,
            (plan.reasons || []).length ? el("ul", { class: "dreambooth-reasons" }, plan.reasons.map((one) => el("li", {}, one))) : null,
            problems ? el("div", { class: "dreambooth-plan-problem" }, t("{count} settings need attention.", { count: problems })) : null,
        );
    }

    // Answers of questions that were overtaken are thrown away.
    async function check() {
        const number = (asked += 1);
        const answer = await db.routes.check(db.schema.nested(db.store.get("values")), db.store.get("model"));
        if (number !== asked) return;
        db.store.put("notices", answer.notices || []);
        db.store.put("problems", answer.problems || []);
        db.store.put("plan", answer.plan || null);
    }

    function follow() {
        const later = db.dom.debounced(() => check().catch(db.say.problem), WAIT_MS);
        db.store.listen("values", later);
        later();
    }

    db.plan = { line, check, follow };
})();
