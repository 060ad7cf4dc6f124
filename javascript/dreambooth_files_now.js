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
        const { el, button } = db.dom;
        const t = db.words.t;
        const model = db.store.get("model");
        if (db.run.isUnderWay(db.store.get("run"))) {
            await db.routes.tell(model, "save-now");
            db.say.note(t("It is saved after this step."));
            return;
        }
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
