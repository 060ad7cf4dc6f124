// A run as its events tell it. The same events in the same order give the same picture, after a reload too.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    function empty(model) {
        return {
            model,
            runId: "",
            sequence: 0,
            phase: null,
            step: 0,
            numSteps: null,
            stepsPerEpoch: 0,
            last: null,
            losses: [],
            rates: {},
            validated: {},
            saved: [],
            sampled: [],
            warnings: [],
            isPaused: false,
            started: null,
            finished: null,
            earlier: null,
        };
    }

    // A run that broke off goes on from its state: what it told of steps after that is done once more.
    function cut(run, step) {
        const kept = (points) => points.filter(([at]) => at <= step);
        const each = (lines) => Object.fromEntries(Object.entries(lines).map(([name, points]) => [name, kept(points)]));
        Object.assign(run, { losses: kept(run.losses), rates: each(run.rates), validated: each(run.validated) });
    }

    const TAKES = {
        started(run, event) {
            // What was told before it is announced, while it was made ready, is its own.
            const early = run.runId ? [] : run.warnings;
            const kept = [run, run.earlier].find((one) => one && one.runId === event.run_id) || empty(run.model);
            Object.assign(run, kept, { runId: event.run_id, sequence: event.sequence, earlier: null });
            Object.assign(run, { started: event, finished: null, isPaused: false, phase: null });
            early.forEach((one) => TAKES.warned(run, one));
            Object.assign(run, { numSteps: event.num_steps, stepsPerEpoch: event.steps_per_epoch, step: event.first_step });
            cut(run, event.first_step);
        },
        phase(run, event) {
            // A phase before the run is announced belongs to a new run, or to the same one that is gone on with.
            if (run.finished) Object.assign(run, empty(run.model), { sequence: event.sequence, earlier: { ...run } });
            run.phase = event;
        },
        step(run, event) {
            run.last = event;
            run.step = event.step;
            run.losses.push([event.step, event.loss, event.smoothed]);
            for (const [part, rate] of Object.entries(event.rates || {})) (run.rates[part] = run.rates[part] || []).push([event.step, rate]);
        },
        validated(run, event) {
            for (const [name, value] of Object.entries(event.curves)) (run.validated[name] = run.validated[name] || []).push([event.step, value]);
        },
        saved(run, event) {
            run.saved.push(event);
        },
        sampled(run, event) {
            run.sampled.push(event);
        },
        warned(run, event) {
            if (!run.warnings.some((one) => one.text === event.text && one.where === event.where)) run.warnings.push(event);
        },
        paused(run) {
            run.isPaused = true;
        },
        resumed(run) {
            run.isPaused = false;
        },
        finished(run, event) {
            run.finished = event;
            run.isPaused = false;
            // Not every step is told, the last one is.
            run.step = event.step || run.step;
        },
    };

    function take(run, event) {
        if (event.sequence <= run.sequence) return;
        run.sequence = event.sequence;
        if (TAKES[event.kind]) TAKES[event.kind](run, event);
    }

    function isUnderWay(run) {
        return Boolean(run && !run.finished && (run.phase || run.started));
    }

    // What it is doing, for people.
    function doing(run) {
        const t = db.words.t;
        if (!run || (!run.phase && !run.started && !run.finished)) return t("Nothing is running.");
        if (run.finished) return ending(run.finished);
        if (run.isPaused) return t("Paused: the card is yours.");
        return run.phase ? `${t(run.phase.name)}${run.phase.detail ? `: ${run.phase.detail}` : ""}` : t("Starting");
    }

    function ending(event) {
        const t = db.words.t;
        const words = { done: "Done", cancelled: "Cancelled", failed: "Failed", discarded: "Cancelled without saving" };
        const told = db.words.told(event);
        return `${t(words[event.outcome] || event.outcome)}, ${t("after {count} steps", { count: db.text.whole(event.step) })}${told ? `: ${told}` : ""}`;
    }

    db.run = { empty, take, isUnderWay, doing };
})();
