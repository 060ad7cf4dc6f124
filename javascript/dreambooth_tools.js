// Tools on results: into a checkpoint, to a smaller rank, and side by side at strengths.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const USUAL_RANK = 8;

    // What stands on the card of a network beside its other buttons.
    function buttons(one) {
        if (one.kind !== "adapter") return [];
        const { button } = db.dom;
        const t = db.words.t;
        return [button(t("Merge to checkpoint"), (made) => merge(made, one)), button(t("Resize rank"), (made) => resize(made, one))];
    }

    function field(label, control, help) {
        const { el, uniqueId } = db.dom;
        control.id = control.id || uniqueId("tool");
        return el("div", { class: "dreambooth-field" }, el("label", { class: "dreambooth-label", for: control.id }, label), control, help ? el("div", { class: "dreambooth-hint" }, help) : null);
    }

    function input(type, value, more) {
        return db.dom.el("input", { type, class: "dreambooth-input", value, ...more });
    }

    function select(options, value) {
        const { el } = db.dom;
        const made = el("select", { class: "dreambooth-input" }, options.map(([one, words]) => el("option", { value: one }, words)));
        if (value !== undefined) made.value = value;
        return made;
    }

    function baseOf(model) {
        return (db.store.get("models").find((one) => one.name === model) || {}).base || "";
    }

    function bases(model) {
        const known = db.store.get("bases").map((one) => [one.value, one.label]);
        return select([["", `${db.words.t("the one it was trained on")} (${db.text.fileName(baseOf(model))})`], ...known]);
    }

    async function merge(beside, one) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const others = (await db.routes.adapters()).filter((other) => other.id !== one.id);
        const parts = {
            name: input("text", `${one.name}-merged`, { spellcheck: "false" }),
            weight: input("number", 1, { min: -4, max: 4, step: 0.05 }),
            base: bases(one.model),
            others: el("div", { class: "dreambooth-others" }),
        };
        const more = () => parts.others.append(otherRow(others));
        const wish = await db.sheet.open(beside, t("Merge to checkpoint"), (end) =>
            el(
                "div",
                {},
                field(t("Name"), parts.name, t("A new file in the folder of checkpoints.")),
                field(t("Strength"), parts.weight),
                field(t("Checkpoint"), parts.base),
                parts.others,
                others.length ? el("div", { class: "dreambooth-row" }, button(t("Add another network"), more, { id: "dreambooth_merge_more" })) : null,
                el("div", { class: "dreambooth-row" }, button(t("Merge"), () => end(mergeWish(parts)), { kind: "primary" })),
            ),
        );
        if (wish) db.tasks.follow(await db.routes.merge(one, wish));
    }

    // A further network with its strength; as many as one likes.
    function otherRow(others) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const network = select(others.map((other) => [other.id, other.name]));
        const weight = input("number", 1, { min: -4, max: 4, step: 0.05 });
        network.dataset.part = "network";
        weight.dataset.part = "weight";
        const row = el("div", { class: "dreambooth-row dreambooth-other" }, field(t("Another network too"), network), field(t("Its strength"), weight), button(t("Leave out"), () => row.remove()));
        return row;
    }

    function mergeWish(parts) {
        const of = (row, part) => row.querySelector(`[data-part=${part}]`).value;
        const rows = [...parts.others.querySelectorAll(".dreambooth-other")];
        const others = {};
        // Twice the same counts as both strengths together.
        for (const row of rows) others[of(row, "network")] = (others[of(row, "network")] || 0) + Number(of(row, "weight"));
        return { name: parts.name.value, weight: Number(parts.weight.value), base: parts.base.value, others };
    }

    async function resize(beside, one) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const how = select([["rank", t("to one rank")], ["share", t("each layer as it needs")]], "rank");
        const rank = input("number", USUAL_RANK, { min: 1, max: 1024 });
        const share = input("number", 95, { min: 1, max: 100, step: 1 });
        const name = input("text", `${one.name}-small`, { spellcheck: "false" });
        const rankField = field(t("Rank"), rank, t("At most this rank in every layer."));
        const shareField = field(t("Percent to keep"), share, t("As few ranks in each layer as keep so much of what it does."));
        const show = () => (shareField.hidden = how.value !== "share");
        how.addEventListener("change", show);
        show();
        const wish = await db.sheet.open(beside, t("Resize rank"), (end) =>
            el(
                "div",
                {},
                field(t("Name"), name),
                field(t("How"), how),
                rankField,
                shareField,
                el("div", { class: "dreambooth-row" }, button(t("Resize"), () => end({ name: name.value, rank: Number(rank.value), share: how.value === "share" ? Number(share.value) / 100 : 0 }), { kind: "primary" })),
            ),
        );
        if (wish) db.tasks.follow(await db.routes.resize(one, wish));
    }

    async function made(task) {
        const t = db.words.t;
        const { answer } = task;
        const lost = answer.ranks ? ` ${t("rank {rank}, {percent} % of the change is gone", { rank: answer.ranks, percent: (answer.lost * 100).toFixed(1) })}.` : "";
        db.say.note(`${t("Made")}: ${answer.name}.${lost}`);
        if (answer.warnings) await db.models.refresh();
        await db.results.refresh();
    }

    db.tools = { buttons, made, field, input, select };
})();
