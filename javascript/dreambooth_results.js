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
        return made;
    }

    async function refresh() {
        const model = db.store.get("model");
        const [results, samples] = model ? await Promise.all([db.routes.results(model), db.routes.samples(model)]) : [[], []];
        if (model !== db.store.get("model")) return;
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
        strength.addEventListener("input", () => (told.value = strength.value));
        const isLora = one.kind === "adapter";
        return el(
            "article",
            { class: "dreambooth-card dreambooth-result", dataset: { name: one.name } },
            one.preview ? db.pictures.figure(one.preview, "") : el("div", { class: "dreambooth-no-preview" }, t("no preview")),
            el("h4", {}, one.name),
            el("p", { class: "dreambooth-hint" }, [kindText(one.kind), one.step ? `${t("step")} ${db.text.whole(one.step)}` : "", one.num_bytes ? db.text.bytes(one.num_bytes) : ""].filter(Boolean).join(", ")),
            isLora ? el("label", { class: "dreambooth-option" }, t("Strength"), strength, told) : null,
            el(
                "div",
                { class: "dreambooth-row" },
                button(sendText(), () => send(one, Number(strength.value)), { kind: "primary" }),
                button(t("Copy"), async () => copy(withStrength(await db.routes.sending(one), Number(strength.value)).prompt)),
                button(t("Delete"), () => remove(one)),
            ),
        );
    }

    function sendText() {
        return db.words.t(db.store.get("host").kind === "webui" ? "Send to txt2img" : "Try it");
    }

    function kindText(kind) {
        const names = { adapter: "LoRA", checkpoint: "Checkpoint", diffusers: "diffusers", embedding: "Embedding", state: "State" };
        return names[kind] || kind;
    }

    // The network in the prompt and in the picture's text with the strength that was chosen here.
    function withStrength(sending, strength) {
        const other = (text) => text.replace(/(<lora:[^:>]+:)[^>]*>/g, `$1${strength}>`);
        return { ...sending, prompt: other(sending.prompt), text: other(sending.text) };
    }

    async function copy(text) {
        await navigator.clipboard.writeText(text);
        db.say.note(`${db.words.t("Copied")}: ${text}`);
    }

    async function send(one, strength) {
        const sending = withStrength(await db.routes.sending(one), strength);
        if (db.store.get("host").kind === "webui") await db.webui.send(one, sending);
        else db.tryIt.take(one, sending);
    }

    async function sendNewest() {
        const results = db.store.get("results") || [];
        if (!results.length) {
            db.say.note(db.words.t("This model has made no files yet."));
            return;
        }
        await send(results[0], 1);
    }

    async function remove(one) {
        const t = db.words.t;
        if ((await db.pictures.ask(t("Delete {name} from the disk?", { name: one.name }), [["yes", t("Delete"), "stop"]])) !== "yes") return;
        await db.routes.deleteResult(one);
        await refresh();
    }

    db.results = { panel, refresh, send, sendNewest, kindText };
})();
