// Models: choosing one brings its settings and its run onto the page.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    async function refresh() {
        const isNews = db.dom.ask("models");
        const [models, bases] = await Promise.all([db.routes.models(), db.routes.bases()]);
        if (!isNews()) return;
        const chosen = db.store.get("model");
        const isGone = has(db.store.get("models"), chosen) && !has(models, chosen);
        db.store.put("models", models);
        if (isGone) forget(chosen);
        db.store.put("bases", bases);
    }

    function has(models, name) {
        return models.some((one) => one.name === name);
    }

    // Another page or program deleted it: what is on the form can make it anew.
    function forget(name) {
        db.live.stop();
        db.store.put("newName", name);
        db.store.put("model", "");
        db.store.put("run", null);
        db.store.put("results", []);
        db.store.put("samples", []);
        db.say.note(db.words.t("{name} is not there any more.", { name }));
    }

    // With `keepsForm` what was typed and not saved stays on the page.
    async function choose(name, keepsForm) {
        db.store.put("model", name);
        localStorage.setItem("dreambooth_model", name);
        if (!name) return;
        if (keepsForm !== true) await load();
        await db.live.follow(name);
        await db.results.refresh();
    }

    // The settings as last used, of the chosen model or of `other`; a new model has its base and nothing else.
    async function load(other) {
        const name = db.store.get("model");
        const tables = await db.routes.settingsOf(other || name);
        const found = db.store.get("models").find((one) => one.name === name);
        const base = found ? { "model.base": found.base } : {};
        const values = { ...db.schema.flat(tables), ...base };
        const hasConcept = Object.keys(values).some((path) => path.startsWith("concepts."));
        db.store.put("values", hasConcept ? values : { ...values, "concepts.0.folder": "" });
        if (!other) db.again.remember(name);
    }

    async function save() {
        await db.routes.saveSettings(wantedName(), settings());
        await refresh();
    }

    function wantedName() {
        const values = db.store.get("values");
        return db.store.get("model") || db.store.get("newName") || values["metadata.name"] || values["concepts.0.token"] || "";
    }

    // Starts or queues a run; about a model that was trained before it asks first, below the row of `beside`.
    async function train(beside) {
        const name = wantedName();
        await Promise.all([refresh(), db.queue.refresh()]);
        const found = db.store.get("models").find((one) => one.name === name);
        const answer = found && found.standing.was_begun ? await trainAgain(found, beside) : await trainNew(name, beside);
        if (!answer) return null;
        db.again.remember(name);
        db.store.put("model", name);
        localStorage.setItem("dreambooth_model", name);
        await refresh();
        await db.queue.refresh();
        const others = db.store.get("queue").entries.filter((one) => one.id !== answer.entry.id);
        if (others.some((one) => one.status === "running")) db.say.note(db.words.t("{name} waits in the queue.", { name }));
        await db.live.follow(name);
        return answer;
    }

    async function trainNew(name, beside) {
        try {
            return await db.routes.train(name, settings(), {});
        } catch (error) {
            if (!(error instanceof db.api.Problem) || error.told.code !== "unfinished-run") throw error;
            return trainAgain(await db.routes.model(name), beside);
        }
    }

    async function trainAgain(model, beside) {
        const wanted = await db.again.ask(model, beside);
        if (!wanted) return null;
        if (wanted.way === "over") return db.routes.train(model.name, settings(), { over: true });
        return db.routes.resume(model.name, wanted.changes, wanted.steps);
    }

    function settings() {
        return db.schema.nested(db.store.get("values"));
    }

    db.models = { refresh, choose, load, save, train, wantedName };
})();
