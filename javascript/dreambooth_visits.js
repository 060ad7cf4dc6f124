// One picture as it is trained, visit by visit: after crop, size and mirroring, its mask over it, its words beside it.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    // `one` is a row of the report: its path, and the id that the look gave it.
    function open(one, id) {
        const { el, button, fill } = db.dom;
        const t = db.words.t;
        const settings = db.schema.nested(db.store.get("values"));
        let visit = 0;
        const picture = el("div", { class: "dreambooth-visit-picture" });
        const told = el("div", { class: "dreambooth-visit-words" });
        const place = el("strong", {});
        const masked = el("input", { type: "checkbox", checked: true, onchange: () => picture.classList.toggle("dreambooth-unmasked", !masked.checked) });
        const maskLine = el("label", { class: "dreambooth-option", hidden: true }, masked, t("Show the mask: red is left out"));
        const show = async (number) => {
            const found = await db.routes.trained(settings, id, number);
            visit = number;
            place.textContent = t("Visit {number}", { number: visit + 1 });
            fill(picture, db.dom.picture(found.picture, db.text.fileName(one.path), { class: "dreambooth-visit-seen" }), found.mask ? db.dom.picture(found.mask, t("Mask"), { class: "dreambooth-visit-mask" }) : null);
            maskLine.hidden = !found.mask;
            fill(told, el("p", { class: "dreambooth-visit-caption" }, found.caption || t("no words")), el("p", { class: "dreambooth-hint" }, facts(found).join(", ")));
        };
        const close = () => {
            dialog.close();
            dialog.remove();
        };
        const dialog = el(
            "dialog",
            { class: "dreambooth-dialog dreambooth-visit", "aria-label": db.text.fileName(one.path), onclick: (event) => event.target === dialog && close() },
            el("h4", {}, db.text.fileName(one.path)),
            el("div", { class: "dreambooth-columns" }, picture, el("div", {}, told, maskLine, editor(one, () => show(visit)))),
            el("div", { class: "dreambooth-row" }, button("‹", () => show(Math.max(0, visit - 1)), { title: t("The visit before") }), place, button("›", () => show(visit + 1), { title: t("The next visit"), id: "dreambooth_visit_next" }), button(t("Close"), close)),
        );
        dialog.addEventListener("cancel", () => dialog.remove());
        db.app.root().append(dialog);
        dialog.showModal();
        return show(0);
    }

    function facts(found) {
        const t = db.words.t;
        const [width, height] = found.scaled;
        return [
            `${found.size.join(" x ")} → ${width} x ${height} → ${found.bucket.join(" x ")}`,
            t("cut from {left}, {top}", { left: found.left, top: found.top }),
            found.flipped ? t("mirrored") : "",
            t("epoch {epoch}, step {step}", { epoch: found.epoch, step: found.step }),
        ].filter(Boolean);
    }

    // The caption as it lies on the disk, where it is a text file below a concept's folder.
    function editor(one, after) {
        const { el, button } = db.dom;
        const t = db.words.t;
        const made = el("div", { class: "dreambooth-visit-editor" });
        db.captions.found(one.path).then((row) => {
            if (!row || !row.is_editable) return;
            const box = el("textarea", { class: "dreambooth-input", rows: 4, spellcheck: "false", id: "dreambooth_caption_text" });
            box.value = row.text || "";
            const save = async () => {
                await db.captions.write(row, box.value);
                await after();
            };
            db.dom.add(made, [el("label", { class: "dreambooth-label", for: box.id }, t("Caption")), box, el("div", { class: "dreambooth-row" }, button(t("Save"), save, { kind: "primary", id: "dreambooth_caption_save" }))]);
        }).catch(db.say.problem);
        return made;
    }

    db.visits = { open };
})();
