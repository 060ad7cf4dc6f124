// A question or a small form that opens in its place, below the row of the button that asked for it.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let last = null;

    // `beside` is a button or anything in its row; `build(end)` gives what stands in it. Resolves with what `end` is
    // given, with null where it was closed.
    function open(beside, title, build) {
        const { el, button } = db.dom;
        if (last) last(null);
        return new Promise((resolve) => {
            const end = (answer) => {
                if (last !== end) return;
                last = null;
                made.remove();
                if (beside && beside.isConnected) beside.focus();
                resolve(answer);
            };
            last = end;
            const made = el(
                "section",
                { class: "dreambooth-card dreambooth-sheet", role: "group", "aria-label": title, onkeydown: (event) => leave(event, end) },
                el("div", { class: "dreambooth-sheet-head" }, el("strong", {}, title), button("×", () => end(null), { kind: "plain", title: db.words.t("Close") })),
                build(end),
            );
            rowOf(beside).after(made);
            const first = made.querySelector(".dreambooth-sheet-first, input, select, .dreambooth-primary");
            if (first) first.focus({ preventScroll: true });
            made.scrollIntoView({ block: "nearest" });
        });
    }

    // The WebUI listens for Esc too.
    function leave(event, end) {
        if (event.key !== "Escape") return;
        event.preventDefault();
        event.stopPropagation();
        end(null);
    }

    function rowOf(beside) {
        return (beside && beside.closest(".dreambooth-row, .dreambooth-field, .dreambooth-top, .dreambooth-queued")) || db.app.root().querySelector(".dreambooth-top");
    }

    function close() {
        if (last) last(null);
    }

    db.sheet = { open, close };
})();
