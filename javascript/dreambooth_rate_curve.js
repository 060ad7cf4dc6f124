// The learning rate over the run, as the server computes it for the settings on the page.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const KINDS = ["main", "second", "third"];

    function show(place) {
        const plan = db.store.get("plan");
        const rates = (plan && plan.rates) || {};
        const lines = Object.entries(rates).map(([name, points], number) => ({ name, kind: KINDS[number % KINDS.length], points }));
        if (!lines.length) {
            db.dom.fill(place, db.dom.el("p", { class: "dreambooth-empty" }, db.words.t("The curve of the rates appears once the length is known.")));
            return;
        }
        db.dom.fill(place, db.curve.chart(lines, { caption: db.words.t("Learning rate over the steps") }));
    }

    db.rateCurve = { show };
})();
