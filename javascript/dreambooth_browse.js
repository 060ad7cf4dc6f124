// Folders of the machine that the program runs on, to choose one by walking through them.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    // Beside a field with a folder: a button that opens the list below it. `read` gives what stands in the field.
    function button(read, take) {
        const t = db.words.t;
        return db.dom.button(t("Browse"), (made) => open(made, read(), take), { title: t("Choose a folder of the machine that the program runs on.") });
    }

    async function open(beside, start, take) {
        const first = await listed(start).catch(() => listed(""));
        const { el } = db.dom;
        const chosen = await db.sheet.open(beside, db.words.t("Choose a folder"), (end) => {
            const shown = el("div", { class: "dreambooth-browse" });
            show(shown, first, end);
            return shown;
        });
        if (chosen) take(chosen);
    }

    function listed(folder) {
        return db.routes.folders(folder);
    }

    function show(shown, found, end) {
        const { el, fill, button: pressed } = db.dom;
        const t = db.words.t;
        const go = async (folder) => {
            show(shown, await listed(folder), end);
            const next = shown.querySelector("button");
            if (next) next.focus();
        };
        const up = found.folder ? pressed(t("Up"), () => go(found.above)) : null;
        const use = found.folder ? pressed(`${t("Use this folder")}${told(found.pictures)}`, () => end(found.folder), { kind: "primary" }) : null;
        const places = found.places.map((one) =>
            el(
                "li",
                {},
                pressed(`${one.is_archive ? "" : "▸ "}${one.name || one.path}${told(one.pictures)}`, () => (one.is_archive ? end(one.path) : go(one.path)), { kind: "plain", title: one.path }),
            ),
        );
        fill(
            shown,
            el("div", { class: "dreambooth-row" }, up, use, el("span", { class: "dreambooth-hint" }, found.folder)),
            places.length ? el("ul", { class: "dreambooth-places" }, places) : el("p", { class: "dreambooth-empty" }, t("No folder is in it.")),
        );
    }

    function told(pictures) {
        return pictures ? ` (${db.words.t("{count} pictures", { count: pictures })})` : "";
    }

    db.browse = { button };
})();
