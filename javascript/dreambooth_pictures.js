// Pictures with words under them, and large on a press.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    // Keeps the picture's place before it is there, by its size or as a square: what stands below must not move under a
    // hand.
    function figure(source, caption, size) {
        const { el, picture } = db.dom;
        const place = size && size.width ? { style: `width:${size.width}px;aspect-ratio:${size.width} / ${size.height}` } : {};
        return el(
            "figure",
            { class: "dreambooth-figure" },
            el("button", { type: "button", class: "dreambooth-enlarge", title: db.words.t("Enlarge"), onclick: () => enlarge(source, caption) }, picture(source, caption, place)),
            caption ? el("figcaption", { title: caption }, caption) : null,
        );
    }

    function enlarge(source, caption) {
        const { el, picture, button } = db.dom;
        const close = () => {
            dialog.close();
            dialog.remove();
        };
        const dialog = el("dialog", { class: "dreambooth-dialog", onclick: (event) => event.target === dialog && close() }, picture(source, caption), el("p", {}, caption), button(db.words.t("Close"), close));
        dialog.addEventListener("cancel", () => dialog.remove());
        db.app.root().append(dialog);
        dialog.showModal();
    }

    // A question before something that cannot be taken back.
    function ask(text, actions) {
        const { el, button } = db.dom;
        return new Promise((resolve) => {
            const end = (answer) => {
                dialog.close();
                dialog.remove();
                resolve(answer);
            };
            const buttons = actions.map(([answer, words, kind]) => button(words, () => end(answer), { kind }));
            const dialog = el("dialog", { class: "dreambooth-dialog", "aria-label": text }, el("p", {}, text), el("div", { class: "dreambooth-row" }, buttons, button(db.words.t("Back"), () => end(""))));
            dialog.addEventListener("cancel", () => {
                dialog.remove();
                resolve("");
            });
            db.app.root().append(dialog);
            dialog.showModal();
        });
    }

    db.pictures = { figure, enlarge, ask };
})();
