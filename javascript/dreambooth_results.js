// What runs have made: every file with its step, size and preview, and the way into a prompt.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    function panel() {
        const { el } = db.dom;
        const made = el("div", { class: "dreambooth-results" });
        const draw = () => show(made);
        db.store.listen(["results", "model"], draw);
        draw();
        return db.dom.el("div", {}, made, db.compare.panel());
    }

    async function refresh() {
        const isNews = db.dom.ask("results");
        const model = db.store.get("model");
        const [results, samples] = model ? await Promise.all([db.routes.results(model), db.routes.samples(model)]) : [[], []];
        if (model !== db.store.get("model") || !isNews()) return;
        db.store.put("results", results);
        db.store.put("samples", samples);
    }

    function show(made) {
        const { el, fill } = db.dom;
        const results = db.store.get("results") || [];
        const t = db.words.t;
        // Cards that are there stay as they are: somebody may have a hand on a strength.
        const key = JSON.stringify([db.store.get("model"), results]);
        if (made.listed === key) return;
        made.listed = key;
        if (!results.length) {
            fill(made, el("p", { class: "dreambooth-empty" }, db.store.get("model") ? t("This model has made no files yet.") : t("Choose a model at the top.")));
            return;
        }
        fill(made, el("div", { class: "dreambooth-cards" }, results.map(cardOf)));
    }

    function cardOf(one) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const strength = el("input", { type: "range", min: 0, max: 1.5, step: 0.05, value: 1, "aria-label": t("Strength") });
        const told = el("output", {}, strength.value);
        strength.addEventListener("input", () => {
            told.value = strength.value;
            strength.isChosen = true;
        });
        const chosen = () => (strength.isChosen ? Number(strength.value) : null);
        return el(
            "article",
            { class: "dreambooth-card dreambooth-result", dataset: { name: one.name } },
            one.preview ? db.pictures.figure(one.preview, "") : el("div", { class: "dreambooth-no-preview" }, t("no preview")),
            el("h4", {}, one.name),
            el("p", { class: "dreambooth-hint" }, [kindText(one.kind), one.step ? `${t("step")} ${db.text.whole(one.step)}` : "", one.num_bytes ? db.text.bytes(one.num_bytes) : ""].filter(Boolean).join(", ")),
            ["adapter", "embedding"].includes(one.kind) ? el("label", { class: "dreambooth-option" }, t("Strength"), strength, told) : null,
            el(
                "div",
                { class: "dreambooth-row" },
                button(sendText(), () => send(one, chosen()), { kind: "primary" }),
                button(t("Copy"), async () => copy(promptOf(withStrength(one, await db.routes.sending(one), chosen())))),
                button(t("Delete"), () => remove(one)),
                db.tools.buttons(one),
            ),
        );
    }

    function sendText() {
        return db.words.t(db.store.get("host").kind === "webui" ? "Send to txt2img" : "Try it");
    }

    function kindText(kind) {
        const names = { adapter: "LoRA", checkpoint: "Checkpoint", diffusers: "diffusers", embedding: "Embedding", state: "State" };
        return db.words.t(names[kind] || kind);
    }

    // The prompt and the picture's text with the strength that was chosen here; null leaves the one that the file prefers.
    function withStrength(one, sending, strength) {
        if (one.kind === "checkpoint") return { ...sending, text: withoutModel(sending.text) };
        if (strength === null) return sending;
        const name = one.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
        const isWord = one.kind === "embedding";
        const found = isWord ? new RegExp(`\\(${name}:[\\d.]+\\)|(?<![\\w-])${name}(?![\\w-])`, "g") : new RegExp(`<lora:${name}:[^>]*>`, "g");
        const meant = isWord ? (strength === 1 ? one.name : `(${one.name}:${strength})`) : `<lora:${one.name}:${strength}>`;
        const other = (text) => text.replace(found, () => meant);
        return { ...sending, prompt: other(sending.prompt), text: other(sending.text) };
    }

    // The picture was drawn on the model in training: what is sent is the file that came of it.
    function withoutModel(text) {
        return text.replace(/, Model(?: hash)?: (?:"(?:[^"\\]|\\.)*"|[^,\n]*)/g, "");
    }

    function promptOf(sending) {
        return sending.prompt || sending.checkpoint;
    }

    async function copy(text) {
        await navigator.clipboard.writeText(text);
        db.say.note(`${db.words.t("Copied")}: ${text}`);
    }

    async function send(one, strength) {
        const sending = withStrength(one, await db.routes.sending(one), strength);
        if (db.store.get("host").kind === "webui") await db.webui.send(one, sending);
        else db.tryIt.take(one, sending);
    }

    async function sendNewest() {
        const results = db.store.get("results") || [];
        if (!results.length) {
            db.say.note(db.words.t("This model has made no files yet."));
            return;
        }
        await send(results[0], null);
    }

    async function remove(one) {
        const t = db.words.t;
        if ((await db.pictures.ask(t("Delete {name} from the disk?", { name: one.name }), [["yes", t("Delete"), "stop"]])) !== "yes") return;
        await db.routes.deleteResult(one);
        await refresh();
    }

    db.results = { panel, refresh, send, sendNewest, kindText };
})();
