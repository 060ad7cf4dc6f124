// The row of buttons above the panels: the model, its settings, and what can be asked of its run.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const CANCELS = [
        ["stop-after-step", "After this step, and save"],
        ["stop-at-epoch-end", "At the end of this epoch, and save"],
        ["stop-without-saving", "At once, without saving"],
    ];

    function row() {
        const { el, button } = db.dom;
        const { t, label } = db.words;
        const list = el("select", { class: "dreambooth-input", id: "dreambooth_model", onchange: () => db.models.choose(list.value).catch(db.say.problem) });
        const parts = {
            load: button(label("Load Settings"), () => db.models.load(), { title: t("The settings that this model was last trained with") }),
            save: button(label("Save Settings"), save, { title: t("Keeps the settings with the model; Train does so by itself") }),
            train: button(label("Train"), (made) => train(made), { kind: "primary", id: "dreambooth_train" }),
            pause: button(t("Pause"), () => tell(db.store.get("run").isPaused ? "go-on" : "pause"), { id: "dreambooth_pause" }),
            cancel: button(label("Cancel"), cancel, { kind: "stop", id: "dreambooth_cancel" }),
            saveNow: button(t("Save now"), () => tell("save-now")),
            samples: button(t("Samples now"), () => tell("sample-now")),
            make: button(label("Generate Ckpt"), (made) => db.filesNow.ask(made), { id: "dreambooth_generate", title: t("A file for use from where the run stands") }),
            send: button(t(db.store.get("host").kind === "webui" ? "Send to txt2img" : "Try it"), () => db.results.sendNewest()),
        };
        const small = el("div", { class: "dreambooth-small-run" });
        const made = el("div", { class: "dreambooth-top" }, el("label", { class: "dreambooth-label", for: "dreambooth_model" }, db.words.label("Model")), list, Object.values(parts));
        const draw = () => {
            models(list);
            enable(parts);
            summary(small);
        };
        db.store.listen(["models", "model", "run"], draw);
        draw();
        return [made, small];
    }

    function models(list) {
        const { el, fill } = db.dom;
        const all = db.store.get("models");
        const key = JSON.stringify(all.map((one) => [one.name, one.step, one.is_running]));
        if (list.dataset.key !== key) fill(list, el("option", { value: "" }, db.words.t("New model")), all.map((one) => el("option", { value: one.name }, about(one))));
        list.dataset.key = key;
        list.value = db.store.get("model");
    }

    function about(model) {
        const step = model.step ? `, ${db.words.t("step")} ${db.text.whole(model.step)}` : "";
        return `${model.name} (${model.family || "?"}${step})`;
    }

    function enable(parts) {
        const run = db.store.get("run");
        const isRunning = db.run.isUnderWay(run);
        const hasModel = Boolean(db.store.get("model"));
        for (const name of ["pause", "cancel", "saveNow", "samples"]) parts[name].disabled = !isRunning;
        for (const name of ["load", "make", "send"]) parts[name].disabled = !hasModel;
        parts.pause.textContent = db.words.t(run && run.isPaused ? "Go on" : "Pause");
    }

    // One line that stays in sight on every panel.
    function summary(place) {
        const { el, fill } = db.dom;
        const run = db.store.get("run");
        place.hidden = !db.run.isUnderWay(run);
        if (place.hidden) return;
        const share = db.progress.shareOf(run);
        const bar = el("progress", { max: 1, "aria-label": db.words.t("Progress") });
        if (share !== null) bar.value = share;
        const left = run.last && run.last.seconds_left !== null ? `, ${db.text.seconds(run.last.seconds_left)} ${db.words.t("left")}` : "";
        const steps = run.numSteps && run.last ? ` ${db.text.whole(run.step)} / ${db.text.whole(run.numSteps)}${left}` : "";
        fill(place, bar, el("span", {}, `${run.model}: ${db.run.doing(run)}${steps}`));
    }

    async function train(beside) {
        db.say.clear();
        db.plan.tell([]);
        await db.upload.arrived();
        const answer = await db.models.train(beside);
        if (answer) db.app.show("progress");
    }

    async function tell(kind) {
        await db.routes.tell(db.store.get("run").model, kind);
    }

    async function cancel() {
        const t = db.words.t;
        const answer = await db.pictures.ask(t("When is the run to stop?"), CANCELS.map(([kind, text], number) => [kind, t(text), number === 0 ? "primary" : "secondary"]));
        if (answer) await tell(answer);
    }

    async function save() {
        await db.models.save();
        db.say.note(db.words.t("The settings are saved."));
    }

    db.top = { row, train, tell };
})();
