// Settings in and out: presets of one's own, those of another model, and files for other programs.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    function buttons() {
        const { button } = db.dom;
        const t = db.words.t;
        return [
            button(t("Save as a preset"), keepPreset, { id: "dreambooth_keep_preset" }),
            button(t("From another model"), fromModel, { id: "dreambooth_from_model" }),
            button(t("Export"), exportSettings, { id: "dreambooth_export" }),
        ];
    }

    function settings() {
        return db.schema.nested(db.store.get("values"));
    }

    async function keepPreset(beside) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const wanted = await db.sheet.open(beside, t("Save as a preset"), (end) => {
            const name = el("input", { type: "text", class: "dreambooth-input", id: "dreambooth_preset_name", "aria-label": t("Name"), placeholder: t("Name"), autocomplete: "off" });
            const about = el("input", { type: "text", class: "dreambooth-input", id: "dreambooth_preset_about", "aria-label": t("What it is for"), placeholder: t("What it is for"), autocomplete: "off" });
            return [
                el("p", { class: "dreambooth-hint" }, t("Everything but what belongs to this subject: pictures, words, names and places stay out.")),
                el("div", { class: "dreambooth-row" }, name, about, button(t("Save"), () => end({ name: name.value, about: about.value }), { kind: "primary", id: "dreambooth_preset_save" })),
            ];
        });
        if (!wanted) return;
        const made = await db.routes.keepPreset(wanted.name, wanted.about, settings());
        db.store.put("presets", await db.routes.presets());
        db.say.note(t("The preset {name} is saved.", { name: made.name }));
    }

    async function fromModel(beside) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const others = db.store.get("models").filter((one) => one.name !== db.store.get("model"));
        if (!others.length) {
            db.say.note(t("There is no other model yet."));
            return;
        }
        const chosen = await db.sheet.open(beside, t("Settings of another model"), (end) => {
            const list = el("select", { class: "dreambooth-input", id: "dreambooth_other_model", "aria-label": t("Model") }, others.map((one) => el("option", { value: one.name }, one.name)));
            return el("div", { class: "dreambooth-row" }, list, button(t("Take these settings"), () => end(list.value), { kind: "primary", id: "dreambooth_take_other" }));
        });
        if (chosen) await db.models.load(chosen);
    }

    async function exportSettings(beside) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const name = db.models.wantedName() || "config";
        const shown = el("div", {});
        const kohya = async () => db.dom.fill(shown, exported(await db.routes.exportKohya(settings(), `${name}.toml`)));
        const own = async () => db.dom.fill(shown, exported({ files: { [`${name}.toml`]: (await db.routes.asText(settings())).text }, command: "", notes: [], left_out: [] }));
        db.sheet.open(beside, t("Export"), () => [
            el("div", { class: "dreambooth-row" }, button(t("For kohya's scripts"), kohya, { kind: "primary", id: "dreambooth_export_kohya" }), button(t("For this program (TOML)"), own, { id: "dreambooth_export_own" })),
            shown,
        ]);
    }

    function exported(answer) {
        const { el, button } = db.dom;
        const t = db.words.t;
        return [
            Object.entries(answer.files).map(([name, text]) => [
                el("div", { class: "dreambooth-row" }, el("strong", {}, name), button(t("Save to disk"), () => download(name, text))),
                el("textarea", { class: "dreambooth-input dreambooth-code", rows: 10, readonly: true, spellcheck: "false", "aria-label": name, value: text }),
            ]),
            answer.command ? el("textarea", { class: "dreambooth-input dreambooth-code", rows: 2, readonly: true, "aria-label": t("Command"), value: answer.command }) : null,
            answer.notes.map((one) => el("p", { class: "dreambooth-hint" }, one)),
            answer.left_out.length ? el("details", {}, el("summary", {}, t("{count} settings cannot be said there", { count: answer.left_out.length })), el("ul", {}, answer.left_out.map((one) => el("li", {}, one)))) : null,
        ];
    }

    function download(name, text) {
        const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
        const link = db.dom.el("a", { href: address, download: name });
        db.app.root().append(link);
        link.click();
        link.remove();
        URL.revokeObjectURL(address);
    }

    db.keeping = { buttons };
})();
