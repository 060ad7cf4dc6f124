// Without a WebUI: a picture from a prompt, with what was trained.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let parts = null;

    function panel() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const field = (label, control, help) => el("div", { class: "dreambooth-field" }, el("label", { class: "dreambooth-label", for: control.id }, label), control, help ? el("div", { class: "dreambooth-hint" }, help) : null);
        const input = (id, type, value, more) => el("input", { type, id, class: "dreambooth-input", value, ...more });
        parts = {
            prompt: el("textarea", { id: "dreambooth_try_prompt", class: "dreambooth-input", rows: 3, spellcheck: "false" }),
            negative: input("dreambooth_try_negative", "text", ""),
            base: el("select", { id: "dreambooth_try_base", class: "dreambooth-input" }),
            steps: input("dreambooth_try_steps", "number", 20, { min: 1, max: 150 }),
            guidance: input("dreambooth_try_guidance", "number", 7, { min: 0, max: 30, step: 0.5 }),
            seed: input("dreambooth_try_seed", "number", 0),
            shown: el("div", { class: "dreambooth-pictures dreambooth-tried" }),
            nothing: el("p", { class: "dreambooth-empty" }, t("Pictures appear here.")),
        };
        const draw = () => bases(parts.base);
        db.store.listen(["bases", "model"], draw);
        draw();
        return el(
            "div",
            { class: "dreambooth-columns" },
            el(
                "div",
                { class: "dreambooth-card" },
                field(t("Prompt"), parts.prompt, t("A network is named with its strength, such as <lora:name:0.8>.")),
                field(t("Negative prompt"), parts.negative),
                field(t("Checkpoint"), parts.base),
                el("div", { class: "dreambooth-grid dreambooth-few-fields" }, field(t("Steps"), parts.steps), field(t("CFG Scale"), parts.guidance), field(t("Seed"), parts.seed)),
                el("div", { class: "dreambooth-row" }, button(t("Draw"), drawOne, { kind: "primary", id: "dreambooth_try_draw" }), button(t("Compare at strengths"), compare)),
            ),
            el("div", { class: "dreambooth-card" }, parts.shown, parts.nothing),
        );
    }

    function bases(list) {
        const { el, fill } = db.dom;
        const kept = list.value || db.schema.value("model.base");
        fill(list, db.store.get("bases").map((one) => el("option", { value: one.value }, one.label)));
        if (kept) choose(list, kept);
    }

    // A model may have been trained from a file that is not among those of the host.
    function choose(list, value) {
        const isListed = [...list.options].some((one) => one.value === value);
        if (!isListed) list.append(db.dom.el("option", { value }, db.text.fileName(value)));
        list.value = value;
    }

    function request(prompt) {
        return { prompt, negative: parts.negative.value, base: parts.base.value, steps: Number(parts.steps.value), guidance: Number(parts.guidance.value), seed: Number(parts.seed.value) };
    }

    async function drawOne() {
        await show(parts.prompt.value);
    }

    // The same noise at no, half and full strength.
    async function compare() {
        for (const strength of [0, 0.5, 1]) await show(parts.prompt.value.replace(/<lora:([^:>]+):[^>]*>/g, strength ? `<lora:$1:${strength}>` : ""));
    }

    async function show(prompt) {
        const t = db.words.t;
        const waiting = db.dom.el("p", { class: "dreambooth-empty" }, t("Drawing"));
        parts.nothing.hidden = true;
        parts.shown.prepend(waiting);
        try {
            const answer = await db.routes.draw(request(prompt));
            waiting.replaceWith(db.pictures.figure(answer.url, prompt));
        } catch (error) {
            waiting.remove();
            throw error;
        }
    }

    // The prompt of the picture beside the result where there is one, else the trigger and the network.
    function take(one, sending) {
        const drawn = sending.text.split("\n")[0].trim();
        parts.prompt.value = drawn || sending.prompt;
        const model = db.store.get("models").find((other) => other.name === one.model);
        const wanted = sending.checkpoint ? db.store.get("bases").find((base) => base.name.split("/").pop().replace(/\.[^.]+$/, "") === sending.checkpoint) : null;
        if (wanted || model) choose(parts.base, wanted ? wanted.value : model.base);
        db.app.show("try");
        parts.prompt.focus();
    }

    db.tryIt = { panel, take };
})();
