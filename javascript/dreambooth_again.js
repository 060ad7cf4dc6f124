// Train on a model that was trained before: nothing starts anew, and nothing goes on, without a word from the user.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const SOME_STEPS = 100;
    const LENGTH = "length.";

    // What is to be done with the model: {way: "rest" | "more" | "over", steps, changes}, or null. Without `given`
    // ({changes, steps} of a run in the queue) it is about what the form holds.
    async function ask(model, beside, given) {
        const changes = given ? given.changes : await changesOf(model.name);
        return db.sheet.open(beside, titleOf(model), (end) => choices(model, changes, given, end));
    }

    function titleOf(model) {
        const t = db.words.t;
        const { name, standing } = model;
        if (isWaited(name)) return t("{name} is being trained, or waits for it. What is chosen here comes after that.", { name });
        const values = { name, step: db.text.whole(standing.step || standing.ended_at), all: standing.num_steps ? db.text.whole(standing.num_steps) : "?" };
        if (!standing.is_unfinished && standing.outcome === "done") return t("{name} was trained before: {step} steps.", values);
        return standing.step ? t("{name} has an unfinished run: {step} of {all} steps are saved.", values) : t("{name} was begun, and no state was saved.", values);
    }

    function isWaited(name) {
        return db.store.get("queue").entries.some((one) => one.model === name && one.status !== "ended");
    }

    function choices(model, changes, given, end) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const { standing } = model;
        const isWaiting = isWaited(model.name);
        const anew = given ? t("With the settings of this run. Its files stay, its states are not gone on with any more.") : t("With the settings on this page. Its files stay, its states are not gone on with any more.");
        const hasState = standing.step > 0 || isWaiting;
        const isShort = !standing.num_steps || standing.step < standing.num_steps;
        const hasRest = !isWaiting && standing.step > 0 && standing.has_rest && isShort;
        const steps = el("input", { type: "number", min: 1, step: 1, value: (given && given.steps) || (given ? standing.num_steps || SOME_STEPS : stepsWanted(standing)), class: "dreambooth-input dreambooth-few", id: "dreambooth_more_steps", "aria-label": t("Steps more") });
        const more = () => end({ way: "more", steps: Math.max(1, Math.round(Number(steps.value)) || 1), changes: withoutLength(changes) });
        steps.addEventListener("keydown", (event) => event.key === "Enter" && more());
        return [
            hasRest ? row(button(t("Go on with the rest"), () => end({ way: "rest", steps: 0, changes }), { kind: "primary", id: "dreambooth_again_rest" }), t("Up to the end that was wanted, as if it had never stopped.")) : null,
            hasState ? row([button(t("Train some steps more"), more, { kind: hasRest ? "secondary" : "primary", id: "dreambooth_again_more" }), steps, el("span", {}, t("steps"))], t("From where it stands now; the steps are counted on.")) : null,
            row(button(t("Start over from the base"), () => end({ way: "over", steps: 0, changes: given ? changes : {} }), { id: "dreambooth_again_over" }), anew),
            (hasState || given) && Object.keys(changes).length ? el("p", { class: "dreambooth-hint" }, `${given ? t("With the change") : t("Going on takes what was changed since")}: ${Object.entries(changes).map(([path, value]) => `${db.presets.nameOf(path)} = ${db.presets.text(value)}`).join(", ")}`) : null,
        ];
    }

    function row(controls, about) {
        return db.dom.el("div", { class: "dreambooth-row dreambooth-choice" }, controls, db.dom.el("span", { class: "dreambooth-hint" }, about));
    }

    // As many as the form's length says, as the guides to the old extension have it; else those of the last run.
    function stepsWanted(standing) {
        const plan = db.store.get("plan");
        return (plan && plan.total_steps) || standing.num_steps || SOME_STEPS;
    }

    // What the form holds beside what the last run was given: kept with the model, or typed on this page since.
    async function changesOf(name) {
        const [ofRun, saved] = await Promise.all([db.routes.settingsOfRun(name), db.routes.settingsOf(name)]);
        const before = db.schema.flat(ofRun);
        const kept = db.schema.flat(saved);
        const values = db.store.get("values");
        const baseline = db.store.get("baseline");
        const isKnown = Boolean(baseline) && baseline.model === name;
        const typed = differing(isKnown ? baseline.values : kept, values, isKnown);
        const found = { ...differing(before, kept, true), ...typed };
        return Object.fromEntries(Object.entries(found).filter(([path, value]) => JSON.stringify(value) !== JSON.stringify(valueIn(before, path))));
    }

    // With `hasAll` a value that is gone is its default again; else `after` only names some.
    function differing(before, after, hasAll) {
        const found = {};
        for (const [path, value] of Object.entries(after)) if (JSON.stringify(value) !== JSON.stringify(valueIn(before, path))) found[path] = value;
        if (hasAll) for (const path of Object.keys(before)) if (!(path in after) && db.schema.field(path)) found[path] = db.schema.field(path).default;
        return found;
    }

    function valueIn(values, path) {
        const field = db.schema.field(path);
        return path in values ? values[path] : field && field.default;
    }

    function withoutLength(changes) {
        return Object.fromEntries(Object.entries(changes).filter(([path]) => !path.startsWith(LENGTH)));
    }

    // From now on only what is typed later counts as changed.
    function remember(model) {
        db.store.put("baseline", { model, values: { ...db.store.get("values") } });
    }

    db.again = { ask, remember };
})();
