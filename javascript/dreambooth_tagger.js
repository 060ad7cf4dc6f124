// Captions written by a tagger that lies on the machine, or is fetched when somebody says so.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let place = null;

    function panel() {
        place = db.dom.el("div", { class: "dreambooth-tagger" }, db.dom.button(db.words.t("Look for taggers"), offer, { id: "dreambooth_tagger_look" }));
        return place;
    }

    async function offer() {
        const { el, fill, button } = db.dom;
        const t = db.words.t;
        const found = await db.routes.taggers();
        const own = found.of_host;
        // Those in files need a package.
        found.taggers = found.taggers.filter((one) => found.is_installed || one.id === "host");
        const fetch = (tagger, name, bytes, from) => button(t("Download {name} ({size})", { name, size: db.text.bytes(bytes) }), async () => db.tasks.follow(await db.routes.downloadTagger(tagger)), { title: from });
        const wanted = [
            own && !own.is_here ? fetch("host", own.name, own.num_bytes, own.source) : null,
            found.is_installed && !found.taggers.some((one) => one.id !== "host") ? fetch("", found.download, found.download_bytes, found.download_from) : null,
        ];
        const where = found.is_installed
            ? el("p", { class: "dreambooth-hint" }, t("Taggers of the WD14 family are looked for in {folder}: an .onnx file with its .csv beside it.", { folder: found.folder }))
            : el("p", { class: "dreambooth-hint" }, t("Taggers of the WD14 family need the package onnxruntime, which is not installed here."));
        const row = el("div", { class: "dreambooth-row" }, wanted, button(t("Look again"), offer));
        if (!found.taggers.length) {
            fill(place, el("p", {}, t("There is no tagger on this machine yet.")), where, row);
            return;
        }
        fill(place, form(found), where, wanted.some(Boolean) ? row : null);
    }

    function form(found) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const { field, input, select } = db.tools;
        const parts = {
            tagger: select(found.taggers.map((one) => [one.id, one.name])),
            existing: select([["keep", t("leave them")], ["refresh", t("renew those of a tagger")], ["merge", t("add new tags behind")], ["replace", t("replace all")]]),
            threshold: input("number", 0.35, { min: 0, max: 1, step: 0.05 }),
            front: input("text", "", { spellcheck: "false", id: "dreambooth_tagger_front" }),
            exclude: input("text", "", { spellcheck: "false" }),
            shown: el("p", { class: "dreambooth-hint", role: "status" }),
        };
        return el(
            "div",
            {},
            el("div", { class: "dreambooth-grid" }, field(t("Tagger"), parts.tagger), field(t("Captions that are there"), parts.existing), field(t("How sure it has to be"), parts.threshold), field(t("Tags in front"), parts.front), field(t("Tags never written"), parts.exclude)),
            el("div", { class: "dreambooth-row" }, button(t("Show what changes"), () => ask(parts)), button(t("Write captions"), () => tag(parts), { kind: "primary", id: "dreambooth_tagger_write" })),
            parts.shown,
        );
    }

    function wish(parts, folder, more) {
        const tags = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
        return { folder, tagger: parts.tagger.value, existing: parts.existing.value, threshold: Number(parts.threshold.value), front: tags(parts.front.value), exclude: tags(parts.exclude.value), ...more };
    }

    async function planned(parts) {
        const plans = [];
        for (const folder of db.captions.folders()) plans.push({ folder, ...(await db.routes.tag(wish(parts, folder))) });
        return plans;
    }

    function sum(plans, name) {
        return plans.reduce((all, one) => all + one[name], 0);
    }

    async function ask(parts) {
        const plans = await planned(parts);
        parts.shown.textContent = db.words.t("{write} captions would be written, {hand} of them made by hand; {kept} stay.", { write: sum(plans, "to_write"), hand: sum(plans, "hand_made"), kept: sum(plans, "kept") });
        return plans;
    }

    async function tag(parts) {
        const t = db.words.t;
        const plans = await ask(parts);
        const hand = sum(plans, "hand_made");
        if (hand && (await db.pictures.ask(t("{count} captions that a person wrote will be changed.", { count: hand }), [["yes", t("Change them"), "stop"]])) !== "yes") return;
        for (const plan of plans.filter((one) => one.to_write)) {
            const answer = await db.routes.tag(wish(parts, plan.folder, { apply: true, hand_made: hand > 0 }));
            db.captions.remember([plan.folder]);
            db.tasks.follow(answer.task);
        }
    }

    function made(task) {
        const t = db.words.t;
        db.say.note(t("{count} captions are changed.", { count: task.answer.written }));
        task.answer.findings.forEach((one) => db.say.note([one.what, one.todo].filter(Boolean).join(" ")));
    }

    db.tagger = { panel, made, fetched: offer };
})();
