// The Performance wizard: what is fast on a card without learning anything else, and what else would be at a cost.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    async function ask(beside) {
        const { el, button } = db.dom;
        const t = db.words.t;
        let answer = await asked({}, 0);
        const taken = {};
        const shown = el("div", {});
        const settings = await db.sheet.open(beside, t("Performance Wizard"), (end) => {
            const card = el("select", { class: "dreambooth-input dreambooth-sheet-first", id: "dreambooth_card", "aria-label": t("Graphics card") }, cards(answer).map(([value, words]) => el("option", { value }, words)));
            card.value = String(answer.card);
            const look = async () => {
                const isNews = db.dom.ask("performance");
                const found = await asked(Object.assign({}, ...Object.values(taken).map((one) => one.changes)), Number(card.value));
                if (!isNews()) return;
                answer = found;
                draw();
            };
            const draw = () => db.dom.fill(shown, told(answer), changes(answer), offers(answer, taken, () => look().catch(db.say.problem)));
            card.addEventListener("change", () => look().catch(db.say.problem));
            draw();
            return [
                el("div", { class: "dreambooth-row" }, el("label", { class: "dreambooth-label", for: "dreambooth_card" }, t("Graphics card")), card),
                shown,
                el("div", { class: "dreambooth-row" }, button(t("Apply"), () => end(answer.settings), { kind: "primary", id: "dreambooth_apply_performance" })),
            ];
        });
        if (settings) db.store.put("values", db.schema.flat(settings));
    }

    function asked(wanted, card) {
        return db.routes.performance(db.schema.nested(db.store.get("values")), wanted, card, db.models.wantedName());
    }

    function cards(answer) {
        const t = db.words.t;
        const here = answer.here === null ? [] : [["0", t("the one of this machine ({room} free)", { room: db.text.bytes(answer.here) })]];
        return [...here, ...answer.cards.map((size) => [String(size), `${size} GB`])];
    }

    function told(answer) {
        const t = db.words.t;
        const needs = answer.room === null ? db.text.bytes(answer.peak) : t("{needed} of {room}", { needed: db.text.bytes(answer.peak), room: db.text.bytes(answer.room) });
        return db.dom.el("p", { class: answer.fits === false ? "dreambooth-plan-problem" : "dreambooth-hint" }, `${t("Memory")}: ${needs}${answer.fits === false ? ` (${t("too little")})` : ""}`);
    }

    function changes(answer) {
        const { el } = db.dom;
        const t = db.words.t;
        if (!answer.changes.length) return el("p", {}, t("The settings are as fast as they can be there."));
        const rows = answer.changes.map((one) => el("tr", {}, el("td", {}, db.presets.nameOf(one.path)), el("td", {}, db.presets.text(one.before)), el("td", {}, db.presets.text(one.after))));
        return el("table", { class: "dreambooth-table" }, el("thead", {}, el("tr", {}, [t("Setting"), t("now"), t("then")].map((one) => el("th", {}, one)))), el("tbody", {}, rows));
    }

    // What is taken stays in sight, so that it can be left again.
    function offers(answer, taken, look) {
        const { el } = db.dom;
        const t = db.words.t;
        const all = { ...taken, ...Object.fromEntries(answer.offers.map((one) => [JSON.stringify(one.changes), one])) };
        if (!Object.keys(all).length) return null;
        const rows = Object.entries(all).map(([key, one]) => {
            const box = el("input", { type: "checkbox", checked: key in taken, onchange: () => {
                if (box.checked) taken[key] = one;
                else delete taken[key];
                look();
            } });
            return el("div", { class: "dreambooth-row dreambooth-choice" }, el("label", { class: "dreambooth-option" }, box, what(one)), el("span", { class: "dreambooth-hint" }, costs(one)));
        });
        return [el("p", {}, t("These change what is learned; nothing of them is done unasked:")), rows];
    }

    // What an offer sets, and what that costs.
    function what(offer) {
        return Object.entries(offer.changes).map(([path, value]) => `${db.presets.nameOf(path)} = ${db.presets.text(value)}`).join(", ");
    }

    function costs(offer) {
        return [db.words.said(offer.about), offer.peak ? db.text.bytes(offer.peak) : "", offer.seconds ? db.words.t("about {time}", { time: db.text.seconds(offer.seconds) }) : ""].filter(Boolean).join(" – ");
    }

    db.performance = { ask, what, costs };
})();
