// The run that is under way, as it is told: phase, bar, numbers, curves, previews and warnings.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const DRAW_EVERY_MS = 1000;

    function panel() {
        const { el } = db.dom;
        const t = db.words.t;
        const parts = {
            head: el("div", { class: "dreambooth-head", role: "status", "aria-live": "polite" }),
            bar: el("progress", { class: "dreambooth-bar", max: 1, "aria-label": t("Progress") }),
            facts: el("dl", { class: "dreambooth-facts" }),
            loss: el("div", {}),
            rates: el("div", {}),
            previews: el("div", { class: "dreambooth-previews" }),
            warnings: el("ul", { class: "dreambooth-warnings" }),
        };
        const made = el(
            "div",
            {},
            el("div", { class: "dreambooth-card" }, parts.head, parts.bar, parts.facts),
            el("div", { class: "dreambooth-columns" }, card(t("Loss"), parts.loss), card(t("Learning Rate"), parts.rates)),
            el("div", { class: "dreambooth-card dreambooth-card-warnings" }, el("h3", {}, t("Warnings")), parts.warnings),
            card(t("Previews over time"), parts.previews),
            el("div", { class: "dreambooth-row" }, option("dreambooth_sound", t("A sound at the end")), option("dreambooth_title", t("Progress in the page title"))),
        );
        let drawnAt = 0;
        let timer = 0;
        const draw = () => {
            clearTimeout(timer);
            const run = db.store.get("run");
            // What has just come, and an end, are not made to wait.
            const wait = run && run.finished ? 0 : drawnAt + DRAW_EVERY_MS - Date.now();
            if (wait > 0) timer = setTimeout(draw, wait);
            else {
                drawnAt = run && run.sequence ? Date.now() : 0;
                show(made, parts, run);
            }
        };
        db.store.listen(["run", "samples"], draw);
        show(made, parts, db.store.get("run"));
        return made;
    }

    function card(title, body) {
        return db.dom.el("div", { class: "dreambooth-card" }, db.dom.el("h3", {}, title), body);
    }

    function option(name, text) {
        const { el } = db.dom;
        const box = el("input", { type: "checkbox", id: `${name}_option`, checked: localStorage.getItem(name) === "1", onchange: () => localStorage.setItem(name, box.checked ? "1" : "0") });
        return el("label", { class: "dreambooth-option" }, box, text);
    }

    function show(made, parts, run) {
        const { el, fill } = db.dom;
        made.classList.toggle("dreambooth-idle", !run || run.sequence === 0);
        fill(parts.head, el("strong", {}, run ? run.model : ""), " ", el("span", {}, db.run.doing(run)));
        const share = shareOf(run);
        if (share === null) parts.bar.removeAttribute("value");
        else parts.bar.value = share;
        parts.bar.hidden = !run || !(db.run.isUnderWay(run) || run.finished);
        fill(parts.facts, facts(run).map(([name, value]) => [el("dt", {}, db.words.t(name)), el("dd", {}, value)]));
        if (!run) return;
        fill(parts.loss, db.curve.chart(lossLines(run), { caption: db.words.t("Loss"), xMost: run.numSteps || 0, marks: marks(run) }));
        fill(parts.rates, db.curve.chart(rateLines(run), { caption: db.words.t("Learning Rate"), xMost: run.numSteps || 0 }));
        fill(parts.warnings, run.warnings.map((one) => el("li", {}, one.where && !one.text.startsWith(one.where) ? `${one.where}: ` : "", db.words.said(one.text))));
        parts.warnings.parentElement.hidden = run.warnings.length === 0;
        previews(parts.previews, run);
    }

    // Steps where there are any; the phase's own count before; null where nobody knows.
    function shareOf(run) {
        if (!run) return 0;
        if (run.finished) return run.finished.outcome === "done" ? 1 : run.numSteps ? run.step / run.numSteps : 0;
        if (run.last && run.numSteps) return run.step / run.numSteps;
        if (run.phase && run.phase.total) return run.phase.done / run.phase.total;
        return null;
    }

    function facts(run) {
        if (!run) return [];
        const last = run.last;
        const of = run.numSteps ? ` / ${db.text.whole(run.numSteps)}` : "";
        const found = [];
        if (run.phase && !last && run.phase.total) found.push(["Done", `${db.text.whole(run.phase.done)} / ${db.text.whole(run.phase.total)}`]);
        if (run.started) found.push(["Step", `${db.text.whole(run.step)}${of}`]);
        if (last) {
            const epochs = run.numSteps && run.stepsPerEpoch ? ` / ${db.text.number(run.numSteps / run.stepsPerEpoch)}` : "";
            found.push(["Epoch", `${db.text.number(last.epoch)}${epochs}`]);
            if (last.steps_per_second) found.push(["Speed", db.text.speed(last.steps_per_second)]);
            if (last.seconds_left !== null && !run.finished) found.push(["Time left", db.text.seconds(last.seconds_left)]);
            found.push(["Loss", db.text.number(last.smoothed === null ? last.loss : last.smoothed)]);
            for (const [kind, amount] of Object.entries(last.memory || {})) found.push([`${db.words.t("Memory")} (${kind})`, db.text.bytes(amount)]);
        }
        if (run.started && run.started.device) found.push(["Device", run.started.device]);
        if (run.finished && run.finished.seconds) found.push(["Took", db.text.seconds(run.finished.seconds)]);
        return found;
    }

    function lossLines(run) {
        const t = db.words.t;
        const lines = [
            { name: t("each step"), kind: "faint", points: run.losses.map(([step, loss]) => [step, loss]) },
            { name: t("smoothed"), kind: "main", points: run.losses.map(([step, , smoothed]) => [step, smoothed === null ? NaN : smoothed]) },
        ];
        const kinds = ["second", "third"];
        Object.entries(run.validated).forEach(([name, points], number) => lines.push({ name, kind: kinds[number % 2], points }));
        return lines;
    }

    function rateLines(run) {
        const kinds = ["main", "second", "third"];
        return Object.entries(run.rates).map(([name, points], number) => ({ name, kind: kinds[number % 3], points }));
    }

    function marks(run) {
        return run.saved.map((one) => ({ x: one.step, text: `${db.words.t("saved")}: ${one.paths.map(db.text.fileName).join(", ")}` }));
    }

    // Pictures that are there already stay as they are; new ones come on top.
    function previews(place, run) {
        const { el } = db.dom;
        const samples = (db.store.get("samples") || []).filter((one) => one.run_id === run.runId);
        if (!samples.length) {
            if (!place.querySelector(".dreambooth-empty")) db.dom.fill(place, el("p", { class: "dreambooth-empty" }, db.words.t("The first preview appears here.")));
            return;
        }
        place.querySelectorAll(".dreambooth-empty").forEach((one) => one.remove());
        const key = `${run.model}/${run.runId}`;
        if (place.dataset.run !== key) place.replaceChildren();
        place.dataset.run = key;
        const there = new Set([...place.children].map((one) => one.dataset.step));
        for (const step of [...new Set(samples.map((one) => one.step))].sort((one, other) => one - other)) {
            const key = `${step}: ${samples.filter((one) => one.step === step).length}`;
            if (there.has(key)) continue;
            [...place.children].filter((one) => one.dataset.step.startsWith(`${step}:`)).forEach((one) => one.remove());
            place.prepend(previewRow(key, samples.filter((one) => one.step === step)));
        }
    }

    function previewRow(key, samples) {
        const { el } = db.dom;
        const [first] = samples;
        const epoch = first.epoch ? `, ${db.words.t("Epoch")} ${db.text.number(first.epoch)}` : "";
        return el(
            "section",
            { class: "dreambooth-preview-row", dataset: { step: key } },
            el("h4", {}, `${db.words.t("Step")} ${db.text.whole(first.step)}${epoch}`),
            el("div", { class: "dreambooth-pictures" }, samples.map((one) => db.pictures.figure(one.url, one.prompt))),
        );
    }

    db.progress = { panel, shareOf };
})();
