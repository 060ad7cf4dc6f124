// The same picture with networks and words at several strengths, and on checkpoints, in one sheet; the sheets of a model
// stay until they are removed.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const MOST_LISTED = 40;
    const KINDS = ["adapter", "embedding", "checkpoint", "diffusers"];
    let parts = null;

    function panel() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const { field, input } = db.tools;
        parts = {
            files: el("div", { class: "dreambooth-compare-files", role: "group", "aria-label": t("Files") }),
            strengths: input("text", "0, 0.25, 0.5, 0.75, 1", { spellcheck: "false", id: "dreambooth_compare_strengths" }),
            prompt: el("textarea", { class: "dreambooth-input", rows: 2, spellcheck: "false", id: "dreambooth_compare_prompt" }),
            negative: input("text", ""),
            steps: input("number", 20, { min: 1, max: 150, id: "dreambooth_compare_steps" }),
            guidance: input("number", 7, { min: 0, max: 30, step: 0.5 }),
            seed: input("number", 0),
            sheets: el("div", { class: "dreambooth-sheets" }),
            model: null,
            listed: "",
        };
        const form = el(
            "details",
            { class: "dreambooth-card dreambooth-compare" },
            el("summary", {}, el("strong", {}, t("Compare at strengths"))),
            field(t("Files"), parts.files, t("One row each.")),
            field(t("Strengths"), parts.strengths, t("One column each, with commas between them. A word gets its strength in the prompt, as (word:0.5); a checkpoint has none and is drawn once.")),
            field(t("Prompt"), parts.prompt),
            el("div", { class: "dreambooth-grid" }, field(t("Negative prompt"), parts.negative), field(t("Steps"), parts.steps), field(t("CFG Scale"), parts.guidance), field(t("Seed"), parts.seed)),
            el("div", { class: "dreambooth-row" }, button(t("Compare"), compare, { kind: "primary", id: "dreambooth_compare" })),
        );
        const made = el("div", {}, db.tasks.list(), form, parts.sheets);
        // Results and previews come one after the other.
        const draw = db.dom.debounced(() => offer(form).catch(db.say.problem), 50);
        db.store.listen(["results", "samples", "model"], draw);
        draw();
        return made;
    }

    // The newest files of the model to choose from, those of the last step chosen already.
    async function offer(form) {
        const { el, fill } = db.dom;
        const model = db.store.get("model");
        const results = (db.store.get("results") || []).filter((one) => KINDS.includes(one.kind) && one.is_ours).slice(0, MOST_LISTED);
        form.hidden = !model || !results.length;
        if (form.hidden) {
            fill(parts.sheets);
            parts.listed = "";
            return;
        }
        const kept = new Set(chosen());
        const isOther = parts.model !== model;
        parts.model = model;
        const first = Math.max(0, results.findIndex((one) => ["adapter", "embedding"].includes(one.kind)));
        fill(
            parts.files,
            results.map((one, index) => file(one.id, `${one.name} (${db.results.kindText(one.kind)})`, isOther || !kept.size ? index === first : kept.has(one.id))),
            base(model, kept),
        );
        if (isOther || !parts.prompt.value) parts.prompt.value = promptOf(results[0]);
        await db.tasks.resume();
        await showSheets(model);
    }

    function file(id, words, checked) {
        const { el } = db.dom;
        return el("label", { class: "dreambooth-option" }, el("input", { type: "checkbox", value: id, checked }), words);
    }

    // What everything was trained from, to be drawn beside what came of it.
    function base(model, kept) {
        const { base: path } = db.store.get("models").find((one) => one.name === model) || {};
        const found = db.store.get("bases").find((one) => one.value === path);
        return found ? file(found.id, `${found.label} (${db.words.t("the one it was trained on")})`, kept.has(found.id)) : null;
    }

    // What the last preview showed.
    function promptOf(one) {
        const samples = (db.store.get("samples") || []).filter((other) => other.run_id === one.run_id && other.prompt);
        return samples.length ? samples[samples.length - 1].prompt : db.schema.value("concepts.0.token") || "";
    }

    function chosen() {
        return [...parts.files.querySelectorAll("input:checked")].map((one) => one.value);
    }

    async function compare() {
        const t = db.words.t;
        const strengths = parts.strengths.value.split(",").map((one) => one.trim()).filter(Boolean).map(Number);
        if (!chosen().length || !strengths.length || strengths.some((one) => !Number.isFinite(one))) {
            db.say.note(t("Choose a file, and write strengths such as 0, 0.5, 1."));
            return;
        }
        const wish = { files: chosen(), strengths, prompt: parts.prompt.value, negative: parts.negative.value, steps: Number(parts.steps.value), guidance: Number(parts.guidance.value), seed: Number(parts.seed.value) };
        db.tasks.follow(await db.routes.compare(parts.model, wish));
    }

    async function showSheets(model) {
        const { el, fill, button } = db.dom;
        const t = db.words.t;
        const isNews = db.dom.ask("comparisons");
        const sheets = await db.routes.comparisons(model);
        if (model !== db.store.get("model") || !isNews()) return;
        // Those that are there stay as they are: somebody may be about to press.
        const key = JSON.stringify([model, sheets]);
        if (parts.listed === key) return;
        parts.listed = key;
        fill(
            parts.sheets,
            sheets.map((one) =>
                el(
                    "div",
                    { class: "dreambooth-card dreambooth-sheet-made" },
                    db.pictures.figure(one.url, one.text.split("\n")[0], one),
                    el("div", { class: "dreambooth-row" }, el("span", { class: "dreambooth-hint" }, db.text.time(one.time)), button(t("Delete"), async () => {
                        await db.routes.deleteComparison(model, one.id);
                        await showSheets(model);
                    })),
                ),
            ),
        );
    }

    db.compare = { panel, made: () => (parts && parts.model ? showSheets(parts.model) : undefined) };
})();
