// Every question that the page asks, by what it is for.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    // Scripts come in any order: what others hold is looked up when it is needed.
    const enc = encodeURIComponent;
    const get = (path) => db.api.get(path);
    const post = (path, body) => db.api.post(path, body);
    const ask = (method, path, body) => db.api.ask(method, path, body);
    const PART_BYTES = 3 << 20;
    const LARGEST_HEADER = 32 << 20;
    const of = (model) => `models/${enc(model)}`;
    // Problems that only say that the form is not filled in yet stand beside Train, not in red everywhere.
    const UNFINISHED = ["missing-setting"];

    const routes = {
        // Without a WebUI there is no txt2img: the page has a panel of its own instead.
        host: async () => {
            const about = await get("about");
            return { ...about, kind: about.host === "standalone" ? "standalone" : "webui" };
        },
        schema: () => get("settings/schema"),
        presets: () => get("settings/presets"),
        performance: (settings, offers, card, model) => post("settings/performance", { settings, offers, card, model }),
        preset: (preset, settings, pictures) => post("settings/presets/apply", { preset, settings, pictures: pictures || 0 }),
        models: async () => (await get("models")).map((one) => ({ ...one, step: one.standing.step || one.standing.ended_at })),
        bases: async () => (await get("bases")).map((one) => ({ ...one, value: one.path, label: one.name, about: db.text.bytes(one.num_bytes) })),
        fetchBase: (name, mayDownload) => post("bases/fetch", { name, may_download: mayDownload }),
        createModel: (name, base) => post("models", { name, base }),
        model: (model) => get(of(model)),
        settingsOf: (model) => get(`${of(model)}/settings`),
        settingsOfRun: (model) => get(`${of(model)}/settings?of_run=1`),
        saveSettings: (model, settings) => ask("PUT", `${of(model)}/settings`, { settings }),
        validate: (settings) => post("settings/validate", { settings }),
        plan: (model, settings) => post("plan", { settings, ...(model ? { model } : {}) }),
        forecast: (model, settings, offers) => post("forecast", { settings, offers, ...(model ? { model } : {}) }),
        train: (model, settings, more) => post("queue", { model, action: "train", settings, ...more }),
        resume: (model, changes, moreSteps) => post("queue", { model, action: "resume", changes, more_steps: moreSteps }),
        tell: (model, command, more) => post(`${of(model)}/commands`, { command, ...more }),
        eventsUrl: (model, since) => db.api.address(`${of(model)}/events/stream?since=${since}`),
        runSoFar: async (model) => {
            const answer = await get(`${of(model)}/run`);
            return { events: answer.events, sequence: answer.last };
        },
        queue: async () => {
            const [line, stopped] = await Promise.all([get("queue"), get("stopped")]);
            return { ...line, stopped };
        },
        stopAfter: (on) => post("queue/stop-after", { on }),
        release: (id) => post("queue/start", { id }),
        move: (id, to) => post(`queue/${enc(id)}/move`, { to }),
        makeFiles: (model, makes) => post("queue", { model, action: "files", makes }),
        keepPreset: (name, about, settings, replaces) => post("settings/presets", { name, about, settings, replaces }),
        renamePreset: (id, name, about) => post(`settings/presets/${enc(id)}/rename`, { name, about }),
        deletePreset: (id) => ask("DELETE", `settings/presets/${enc(id)}`),
        exportKohya: (settings, name) => post("settings/export", { settings, name }),
        asText: (settings) => post("settings/text", { settings }),
        duplicate: (id, changes, over) => post(`queue/${enc(id)}/duplicate`, { changes, over: Boolean(over), starts: true }),
        settingsOfEntry: (id) => get(`queue/${enc(id)}/settings`),
        remove: (id) => ask("DELETE", `queue/${enc(id)}`),
        discard: (model) => post(`stopped/${enc(model)}/discard`),
        results: async (model) => {
            const all = await get(`${of(model)}/results`);
            return all.reverse().map((one) => ({ ...one, model, preview: one.preview_id ? pictureUrl(model, one.preview_id) : "" }));
        },
        samples: async (model) => (await get(`${of(model)}/samples`)).map((one) => ({ ...one, url: pictureUrl(model, one.id) })),
        sending: (one) => get(`${of(one.model)}/results/${enc(one.id)}/send`),
        deleteResult: (one) => ask("DELETE", `${of(one.model)}/results/${enc(one.id)}`),
        promote: (one, name) => post(`${of(one.model)}/results/${enc(one.id)}/promote`, { name }),
        dataset: (settings) => post("dataset/scan", { settings, thumbnails: true, model: db.store.get("model") || "" }),
        trained: (settings, picture, visit) => post("dataset/trained", { settings, picture, visit }),
        folders: (folder) => post("folders", { folder }),
        captions: (folder) => post("dataset/captions", { folder }),
        drawClasses: (settings, model) => post("dataset/class-pictures/draw", { settings, model }),
        taggers: () => get("dataset/taggers"),
        downloadTagger: (tagger) => post("dataset/taggers/download", { may_download: true, tagger }),
        tag: (wish) => post("dataset/tag", wish),
        editCaptions: (wish) => post("dataset/captions/edit", wish),
        undoCaptions: (folder) => post("dataset/captions/undo", { folder }),
        adapters: () => get("adapters"),
        merge: (one, wish) => post(`${of(one.model)}/results/${enc(one.id)}/merge`, wish),
        resize: (one, wish) => post(`${of(one.model)}/results/${enc(one.id)}/resize`, wish),
        compare: (model, wish) => post(`${of(model)}/compare`, wish),
        comparisons: async (model) => (await get(`${of(model)}/comparisons`)).map((one) => ({ ...one, url: db.api.address(`${of(model)}/comparisons/${enc(one.id)}`) })),
        deleteComparison: (model, id) => ask("DELETE", `${of(model)}/comparisons/${enc(id)}`),
        tasks: () => get("tasks"),
        stopTask: (id) => ask("DELETE", `tasks/${enc(id)}`),
        draw: async (request) => ({ url: db.api.address(`drawn/${enc((await post("draw", request)).id)}`) }),
        importRecipe: async (file, asRun) => post("settings/import", { name: file.name, as_run: asRun, ...(await recipeIn(file)) }),
    };

    // What is wrong, what is worth knowing, and what the run would do where nothing is in its way.
    routes.check = async (settings, model) => {
        const found = await routes.validate(settings);
        const hasPictures = (settings.concepts || []).some((one) => one.folder || one.metadata_file);
        if (found.problems.length || !hasPictures || !(settings.model || {}).base) return { ...found, plan: null };
        try {
            return { ...found, plan: await routes.plan(model, settings) };
        } catch (error) {
            if (!(error instanceof db.api.Problem)) throw error;
            const problems = error.all.filter((one) => !UNFINISHED.includes(one.code));
            const ofFields = problems.filter((one) => db.schema.field(String(one.where).split(" ")[0]));
            return { ...found, problems: ofFields, plan: { refused: problems.filter((one) => !ofFields.includes(one)) } };
        }
    };

    function pictureUrl(model, id) {
        return db.api.address(`${of(model)}/pictures/${enc(id)}`);
    }

    // A file in parts, so that none is too large; `upload` is where the files before it are.
    routes.upload = async (upload, file) => {
        let answer = { upload };
        let begin = 0;
        do {
            const part = file.slice(begin, begin + PART_BYTES);
            const end = begin + part.size;
            answer = await post("pictures", { name: file.name, base64: await base64(part), upload: answer.upload, begin, is_last: end >= file.size });
            begin = end;
        } while (begin < file.size);
        return answer;
    };

    // Of a LoRA file only what it says of its training is sent: its header, which begins with its length.
    async function recipeIn(file) {
        if (!/\.safetensors$/i.test(file.name)) return { base64: await base64(file) };
        const length = new DataView(await file.slice(0, 8).arrayBuffer()).getUint32(0, true);
        const header = JSON.parse(await file.slice(8, 8 + Math.min(length, LARGEST_HEADER)).text());
        return { text: JSON.stringify({ __metadata__: header.__metadata__ || {} }) };
    }

    async function base64(file) {
        const bytes = new Uint8Array(await file.arrayBuffer());
        let text = "";
        for (let begin = 0; begin < bytes.length; begin += 0x8000) text += String.fromCharCode(...bytes.subarray(begin, begin + 0x8000));
        return btoa(text);
    }

    db.routes = routes;
})();
