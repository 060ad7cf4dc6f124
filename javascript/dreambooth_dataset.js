// The pictures as they will be trained: what is wrong, thumbnails, buckets, and the words of each.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const SHOWN = ["role", "folder", "repeats", "token", "class_token", "prompt", "class_prompt", "class_folder"];
    const AT_ONCE = 200;

    function panel() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const concepts = db.schema.groups().find((group) => group.path === "concepts");
        const form = db.form.section(concepts, { open: true, wanted: SHOWN });
        const shown = el("div", { class: "dreambooth-dataset" }, el("p", { class: "dreambooth-empty" }, t("Press Look at the pictures.")));
        db.form.follow([form]);
        return el(
            "div",
            {},
            form,
            el("div", { class: "dreambooth-row" }, button(t("Look at the pictures"), () => look(shown), { kind: "primary", id: "dreambooth_look" }), db.classes.draw()),
            db.tasks.list(),
            shown,
            card(t("Edit the captions of all concepts"), db.captions.editor()),
            card(t("Tagger"), db.tagger.panel()),
        );
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
        const classes = report.class_counts.filter((one) => one.found || one.to_draw || one.folder);
        fill(
            shown,
            card(t("What was found"), report.findings.length ? findings : el("p", {}, t("Nothing is wrong with these pictures."))),
            classes.length ? card(t("Class pictures"), el("ul", { class: "dreambooth-class-counts" }, classes.map((one) => el("li", {}, counted(one))))) : null,
            card(t("Buckets"), buckets(report.buckets)),
            card(t("{count} pictures, and what each is trained on", { count: report.pictures }), items(report)),
        );
    }

    // Some at once: ten thousand pictures would make the page stand still.
    function items(report) {
        const { el, fill, button } = db.dom;
        const cuts = new Map(report.cuts.pictures.map((one) => [one.path, one]));
        const list = el("div", { class: "dreambooth-items" });
        const more = el("div", {});
        const further = () => {
            const end = list.childElementCount + AT_ONCE;
            list.append(...report.captions.slice(list.childElementCount, end).map((one) => item(one, report, cuts.get(one.path))));
            const left = report.captions.length - end;
            fill(more, left > 0 ? button(db.words.t("and {count} more", { count: db.text.whole(left) }), further, { kind: "plain", id: "dreambooth_more_pictures" }) : null);
        };
        further();
        return el("div", {}, list, more);
    }

    function card(title, body) {
        return db.dom.el("div", { class: "dreambooth-card" }, db.dom.el("h3", {}, title), body);
    }

    // "Concept 1 (folder): 50 found, 30 to be drawn".
    function counted(one) {
        const t = db.words.t;
        const name = [t("Concept {number}", { number: one.concept + 1 }), one.folder ? `(${db.text.fileName(one.folder)})` : ""].filter(Boolean).join(" ");
        const drawn = one.to_draw ? `, ${t("{count} to be drawn", { count: one.to_draw })}` : "";
        return `${name}: ${t("{count} found", { count: one.found })}${drawn}`;
    }

    // Each bucket in its true shape, as many times larger as it has pictures.
    function buckets(counts) {
        const { el } = db.dom;
        const all = Object.entries(counts).map(([size, pictures]) => ({ width: Number(size.split("x")[0]), height: Number(size.split("x")[1]), pictures }));
        const most = Math.max(1, ...all.map((one) => Math.max(one.width, one.height)));
        return el("div", { class: "dreambooth-buckets" }, all.map((one) => el("div", { class: "dreambooth-bucket" }, el("div", { class: "dreambooth-bucket-shape", style: `width:${(one.width / most) * 72}px;height:${(one.height / most) * 72}px` }), el("span", {}, `${one.width} x ${one.height}`), el("span", { class: "dreambooth-hint" }, db.words.t("{count} pictures", { count: one.pictures })))));
    }

    function item(one, report, cut) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const name = db.text.fileName(one.path);
        const thumbnail = (report.thumbnails || {})[one.path];
        const size = cut ? `${cut.size.join(" x ")} → ${cut.bucket.join(" x ")}` : "";
        const lost = cut && cut.lost > 0.005 ? t("{percent} % cut off", { percent: Math.round(cut.lost * 100) }) : "";
        const tokens = one.captions.length ? t("{count} tokens", { count: one.captions[0].tokens }) : "";
        const id = report.ids[one.path];
        return el(
            "article",
            { class: `dreambooth-item${one.is_class ? " dreambooth-item-class" : ""}` },
            thumbnail ? db.dom.picture(thumbnail, name) : null,
            el(
                "div",
                {},
                el("strong", {}, name),
                one.captions.length ? one.captions.map((told) => el("p", {}, told.text || t("no words"), told.lost ? el("span", { class: "dreambooth-lost" }, ` ${told.lost}`) : null)) : el("p", {}, t("no words")),
                el("p", { class: "dreambooth-hint" }, [size, lost, tokens].filter(Boolean).join(", ")),
                id ? button(t("As it is trained"), () => db.visits.open(one, id), { kind: "plain" }) : null,
            ),
        );
    }

    db.dataset = { panel };
})();
