// Generate Ckpt: a file for use from where a run stands, whether it is under way or over.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const KINDS = [
        ["result", "What was trained", "The LoRA, the embedding or the checkpoint, as after a save."],
        ["checkpoint", "A whole checkpoint", "With the LoRA merged in: for programs that read nothing else."],
        ["diffusers", "A diffusers folder", "For diffusers and programs built on it."],
    ];

    async function ask(beside) {
        const model = db.store.get("model");
        const run = db.store.get("run");
        if (db.run.isUnderWay(run) && run.model === model) await during(model, beside);
        else await after(model, beside);
    }

    // A run that is under way writes them at its next safe point, and goes on.
    async function during(model, beside) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const wanted = await db.sheet.open(beside, t("What does {name} make after the step that it is at?", { name: model }), (end) => {
            const boxes = KINDS.map(([id], number) => el("input", { type: "checkbox", value: id, checked: number === 0, id: `dreambooth_wanted_${id}` }));
            const chosen = () => boxes.filter((one) => one.checked).map((one) => one.value);
            return [
                KINDS.map(([, title, about], number) => el("div", { class: "dreambooth-row dreambooth-choice" }, el("label", { class: "dreambooth-option" }, boxes[number], t(title)), el("span", { class: "dreambooth-hint" }, t(about)))),
                el("div", { class: "dreambooth-row" }, button(t("Make them"), () => chosen().length && end(chosen()), { kind: "primary", id: "dreambooth_make_wanted" }), el("span", { class: "dreambooth-hint" }, t("A preview is drawn beside them. Training goes on."))),
            ];
        });
        if (!wanted) return;
        await db.routes.tell(model, "make-files", { makes: wanted });
        db.say.note(t("They are made after this step, and then stand under Results."));
    }

    // From the last state, without a step.
    async function after(model, beside) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const kind = await db.sheet.open(beside, t("What is made from the last state of {name}?", { name: model }), (end) =>
            KINDS.map(([id, title, about], number) => el("div", { class: "dreambooth-row dreambooth-choice" }, button(t(title), () => end(id), { kind: number ? "secondary" : "primary", id: `dreambooth_make_${id}` }), el("span", { class: "dreambooth-hint" }, t(about)))),
        );
        if (!kind) return;
        await db.routes.makeFiles(model, [kind]);
        await db.queue.refresh();
        await db.live.follow(model);
        db.app.show("progress");
    }

    db.filesNow = { ask };
})();
