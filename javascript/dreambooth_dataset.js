// The pictures as they will be trained: what is wrong, thumbnails, buckets, and the words of each.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    function panel() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const concepts = db.schema.groups().find((group) => group.path === "concepts");
        const form = db.form.section(concepts, { open: true, wanted: ["role", "folder", "repeats", "token", "class_token", "prompt", "class_prompt", "class_folder"] });
        const shown = el("div", { class: "dreambooth-dataset" }, el("p", { class: "dreambooth-empty" }, t("Press Look at the pictures.")));
        db.form.follow([form]);
        return el("div", {}, form, el("div", { class: "dreambooth-row" }, button(t("Look at the pictures"), () => look(shown), { kind: "primary", id: "dreambooth_look" })), shown);
    }

    async function look(shown) {
        const { el, fill } = db.dom;
        const t = db.words.t;
        fill(shown, el("p", { class: "dreambooth-empty" }, t("Looking at the pictures")));
        let report;
        try {
            report = await db.routes.dataset(db.schema.nested(db.store.get("values")));
        } catch (error) {
            fill(shown);
            throw error;
        }
        const findings = el("ul", { class: "dreambooth-findings" });
        db.findings.show(findings, report.findings);
        fill(
            shown,
            card(t("What was found"), report.findings.length ? findings : el("p", {}, t("Nothing is wrong with these pictures."))),
            card(t("Buckets"), buckets(report.buckets || [])),
            card(t("{count} pictures, and what each is trained on", { count: report.items.length }), el("div", { class: "dreambooth-items" }, report.items.map(item))),
        );
    }

    function card(title, body) {
        return db.dom.el("div", { class: "dreambooth-card" }, db.dom.el("h3", {}, title), body);
    }

    // Each bucket in its true shape, as many times larger as it has pictures.
    function buckets(all) {
        const { el } = db.dom;
        const most = Math.max(1, ...all.map((one) => Math.max(one.width, one.height)));
        return el("div", { class: "dreambooth-buckets" }, all.map((one) => el("div", { class: "dreambooth-bucket" }, el("div", { class: "dreambooth-bucket-shape", style: `width:${(one.width / most) * 72}px;height:${(one.height / most) * 72}px` }), el("span", {}, `${one.width} x ${one.height}`), el("span", { class: "dreambooth-hint" }, db.words.t("{count} pictures", { count: one.pictures })))));
    }

    function item(one) {
        const { el } = db.dom;
        return el("article", { class: `dreambooth-item${one.is_class ? " dreambooth-item-class" : ""}` }, one.thumbnail ? db.dom.picture(one.thumbnail, one.name) : null, el("div", {}, el("strong", {}, one.name), el("p", {}, one.caption || db.words.t("no words")), el("p", { class: "dreambooth-hint" }, [one.size, one.bucket, one.tokens ? db.words.t("{count} tokens", { count: one.tokens }) : ""].filter(Boolean).join(", "))));
    }

    db.dataset = { panel };
})();
