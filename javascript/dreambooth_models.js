// Models: choosing one brings its settings and its run onto the page.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    async function refresh() {
        const [models, bases] = await Promise.all([db.routes.models(), db.routes.bases()]);
        db.store.put("models", models);
        db.store.put("bases", bases);
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

    // The settings as last used; a new model has its base and nothing else.
    async function load() {
        const name = db.store.get("model");
        const tables = await db.routes.settingsOf(name);
        const found = db.store.get("models").find((one) => one.name === name);
        const base = found ? { "model.base": found.base } : {};
        const values = { ...db.schema.flat(tables), ...base };
        const hasConcept = Object.keys(values).some((path) => path.startsWith("concepts."));
        db.store.put("values", hasConcept ? values : { ...values, "concepts.0.folder": "" });
    }

    async function save() {
        await db.routes.saveSettings(wantedName(), db.schema.nested(db.store.get("values")));
        await refresh();
    }

    function wantedName() {
        const values = db.store.get("values");
        return db.store.get("model") || db.store.get("newName") || values["metadata.name"] || values["concepts.0.token"] || "";
    }

    // Starts or queues a run; an unfinished one is asked about first.
    async function train() {
        const name = wantedName();
        const settings = db.schema.nested(db.store.get("values"));
        let answer;
        try {
            answer = await db.routes.train(name, settings, {});
        } catch (error) {
            if (!(error instanceof db.api.Problem) || error.told.code !== "unfinished-run") throw error;
            answer = await trainUnfinished(name, settings, error.told);
        }
        if (!answer) return null;
        db.store.put("model", name);
        localStorage.setItem("dreambooth_model", name);
        await refresh();
        await db.queue.refresh();
        await db.live.follow(name);
        return answer;
    }

    async function trainUnfinished(name, settings, told) {
        const t = db.words.t;
        const choice = await db.pictures.ask(`${name}: ${told.what}`, [
            ["rest", t("Go on with it"), "primary"],
            ["over", t("Start over from the base"), "secondary"],
        ]);
        if (choice === "rest") return db.routes.resume(name, {}, 0);
        if (choice === "over") return db.routes.train(name, settings, { over: true });
        return null;
    }

    db.models = { refresh, choose, load, save, train, wantedName };
})();
