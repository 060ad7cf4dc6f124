// The stream of events of one model. It begins with everything so far and goes on where a break cut it off.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const KINDS = ["started", "phase", "step", "validated", "saved", "sampled", "paused", "resumed", "warned", "finished"];
    const TITLE_MARK = "● ";
    let source = null;
    let run = null;
    let plainTitle = "";

    async function follow(model) {
        stop();
        run = db.run.empty(model);
        db.store.put("run", run);
        const so = await db.routes.runSoFar(model);
        if (run.model !== model) return;
        for (const event of so.events) db.run.take(run, event);
        db.store.put("run", run);
        title();
        listen(model, so.sequence);
    }

    function listen(model, after) {
        source = new EventSource(db.routes.eventsUrl(model, after));
        const take = (message) => {
            if (run.model !== model) return;
            const event = JSON.parse(message.data);
            const before = run.sequence;
            db.run.take(run, event);
            if (run.sequence === before) return;
            db.store.put("run", run);
            after_(event);
        };
        source.onmessage = take;
        // What cannot be listened to any more may be gone.
        source.onerror = () => source.readyState === EventSource.CLOSED && run.model === model && db.models.refresh().catch(() => undefined);
        for (const kind of KINDS) source.addEventListener(kind, take);
    }

    function after_(event) {
        title();
        if (["saved", "sampled", "finished"].includes(event.kind)) db.results.refresh().catch(() => undefined);
        if (event.kind !== "finished") return;
        db.queue.untilOver(run.model).then(db.models.refresh).then(followNext).catch(() => undefined);
        if (localStorage.getItem("dreambooth_sound") === "1") sound();
        if (event.outcome === "failed") db.say.line("problem", db.words.told(event));
    }

    // The queue goes on with the next model, and so does the page.
    async function followNext() {
        const next = db.store.get("queue").entries.find((one) => one.status === "running");
        if (next && !db.run.isUnderWay(run)) await db.models.choose(next.model);
    }

    function title() {
        if (!plainTitle) plainTitle = document.title.startsWith(TITLE_MARK) ? "" : document.title;
        const isWanted = localStorage.getItem("dreambooth_title") === "1";
        const share = db.progress.shareOf(run);
        if (!isWanted && !document.title.startsWith(TITLE_MARK)) return;
        document.title = isWanted && db.run.isUnderWay(run) && share !== null ? `${TITLE_MARK}${Math.round(share * 100)} % ${run.model}` : plainTitle;
    }

    // Two short tones, made here: no file, no delay.
    function sound() {
        try {
            const context = new AudioContext();
            [660, 880].forEach((pitch, number) => {
                const tone = context.createOscillator();
                const loud = context.createGain();
                tone.frequency.value = pitch;
                loud.gain.value = 0.1;
                tone.connect(loud).connect(context.destination);
                tone.start(context.currentTime + number * 0.25);
                tone.stop(context.currentTime + number * 0.25 + 0.2);
            });
        } catch (error) {
            console.warn("no sound", error);
        }
    }

    function stop() {
        if (source) source.close();
        source = null;
    }

    db.live = { follow, stop };
})();
