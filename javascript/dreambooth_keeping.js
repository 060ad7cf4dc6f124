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

    // The name of an own preset that is chosen stands there already: it is most likely to be kept anew.
    async function keepPreset(beside) {
        const t = db.words.t;
        const before = db.presets.chosen();
        const wanted = await named(beside, t("Save as a preset"), before && before.is_own ? before : { name: "", about: "" }, t("Everything but what belongs to this subject: pictures, words, names and places stay out."));
        if (!wanted) return;
        const is = (one) => one.is_own && one.name.toLowerCase() === wanted.name.trim().toLowerCase();
        const there = db.store.get("presets").find(is);
        if (there && (await db.pictures.ask(t("Replace the preset {name} with these settings?", { name: there.name }), [["yes", t("Replace"), "primary"]])) !== "yes") return;
        const made = await db.routes.keepPreset(wanted.name, wanted.about, settings(), Boolean(there));
        await listPresets(made.name);
        db.say.note(t("The preset {name} is saved.", { name: made.name }));
    }

    // {name, about} as they were typed, or null.
    function named(beside, title, before, hint) {
        const { el, button } = db.dom;
        const t = db.words.t;
        return db.sheet.open(beside, title, (end) => {
            const name = el("input", { type: "text", class: "dreambooth-input", id: "dreambooth_preset_name", "aria-label": t("Name"), placeholder: t("Name"), autocomplete: "off", value: before.name });
            const about = el("input", { type: "text", class: "dreambooth-input", id: "dreambooth_preset_about", "aria-label": t("What it is for"), placeholder: t("What it is for"), autocomplete: "off", value: before.about });
            return [
                hint ? el("p", { class: "dreambooth-hint" }, hint) : null,
                el("div", { class: "dreambooth-row" }, name, about, button(t("Save"), () => end({ name: name.value, about: about.value }), { kind: "primary", id: "dreambooth_preset_save" })),
            ];
        });
    }

    // What can be done with a preset of one's own.
    function ofOwn() {
        const { button } = db.dom;
        const t = db.words.t;
        return [button(t("Rename the preset"), renamePreset, { id: "dreambooth_rename_preset" }), button(t("Delete the preset"), deletePreset, { id: "dreambooth_delete_preset" })];
    }

    async function renamePreset(beside) {
        const before = db.presets.chosen();
        const wanted = await named(beside, db.words.t("Rename the preset"), before, "");
        if (wanted) await listPresets((await db.routes.renamePreset(before.id, wanted.name, wanted.about)).name);
    }

    async function deletePreset() {
        const t = db.words.t;
        const before = db.presets.chosen();
        if ((await db.pictures.ask(t("Delete {name} from the disk?", { name: before.name }), [["yes", t("Delete"), "stop"]])) !== "yes") return;
        await db.routes.deletePreset(before.id);
        await listPresets("");
    }

    async function listPresets(name) {
        db.store.put("presets", await db.routes.presets());
        if (name) db.presets.choose(name);
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
            answer.notes.map((one) => el("p", { class: "dreambooth-hint" }, db.words.said(one))),
            answer.left_out.length ? el("details", {}, el("summary", {}, t("{count} settings cannot be said there", { count: answer.left_out.length })), el("ul", {}, answer.left_out.map((one) => el("li", {}, db.words.said(one))))) : null,
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

    db.keeping = { buttons, ofOwn };
})();
