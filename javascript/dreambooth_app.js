// Puts the page together in its place, once for each time that the host makes that place.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const ROOT = "dreambooth_root";
    const LOOK_EVERY_MS = 500;
    const FORM = "dreambooth_form";
    let mounted = null;
    let isRestored = false;
    let haveAllCome = false;

    const PANELS = [
        ["start", "Start", () => db.start.panel()],
        ["create", "Create", () => db.create.panel()],
        ["dataset", "Dataset", () => db.dataset.panel()],
        ["training", "Training", () => db.training.panel()],
        ["progress", "Progress", () => db.progress.panel()],
        ["results", "Results", () => db.results.panel()],
        ["queue", "Queue", () => db.queue.panel()],
        ["import", "Import", () => db.recipes.panel()],
        ["try", "Try it", () => db.tryIt.panel()],
    ];

    function root() {
        return mounted;
    }

    async function mount(place) {
        mounted = place;
        place.setAttribute("aria-busy", "true");
        try {
            await fillIn(place);
        } finally {
            place.setAttribute("aria-busy", "false");
        }
    }

    async function fillIn(place) {
        db.store.forgetListeners();
        db.words.use(JSON.parse(place.dataset.words || "{}"));
        const { el, fill } = db.dom;
        try {
            await begin();
        } catch (error) {
            fill(place, el("p", { class: "dreambooth-said dreambooth-said-problem", role: "alert" }, String(error.message || error)));
            return;
        }
        const said = el("div", { class: "dreambooth-saying" });
        db.say.at(said);
        const panels = PANELS.filter(([id]) => id !== "try" || db.store.get("host").kind !== "webui");
        const tabs = el("div", { class: "dreambooth-tabs", role: "tablist", onkeydown: byArrows }, panels.map(([id, title]) => tab(id, title)));
        const bodies = panels.map(([id, , build]) => el("section", { class: "dreambooth-panel", role: "tabpanel", id: `dreambooth_panel_${id}`, "aria-labelledby": `dreambooth_tab_${id}`, hidden: true }, build()));
        fill(place, db.top.row(), said, tabs, bodies);
        show(localStorage.getItem("dreambooth_panel") || "start");
        db.plan.follow();
        db.store.listen(["values", "newName", "baseline"], db.dom.debounced(keepForm, LOOK_EVERY_MS));
        await goOnWhereWeWere();
    }

    async function begin() {
        const [host, schema, presets] = await Promise.all([db.routes.host(), db.routes.schema(), db.routes.presets()]);
        db.store.put("host", host);
        db.schema.use(schema);
        db.store.put("presets", presets);
        await db.models.refresh();
        isRestored = restored();
        if (!isRestored && !Object.keys(db.store.get("values")).length) firstValues();
    }

    // What was typed outlives a reload of the page, in this window alone. Where only the place is made anew, it is still
    // here, and newer than what was kept.
    function restored() {
        if (Object.keys(db.store.get("values")).length) return true;
        try {
            const kept = JSON.parse(sessionStorage.getItem(FORM) || "null");
            if (!kept) return false;
            db.store.put("newName", kept.newName || "");
            db.store.put("baseline", kept.baseline || null);
            db.store.put("values", Object.fromEntries(Object.entries(kept.values).filter(([path]) => db.schema.field(path))));
            return true;
        } catch (error) {
            return false;
        }
    }

    function keepForm() {
        if (!Object.keys(db.store.get("values")).length) return;
        sessionStorage.setItem(FORM, JSON.stringify({ values: db.store.get("values"), newName: db.store.get("newName") || "", baseline: db.store.get("baseline") || null }));
    }

    // One concept to fill in, on the base that the host has loaded.
    function firstValues() {
        const bases = db.store.get("bases");
        const loaded = bases.find((one) => one.is_chosen) || (bases.length === 1 ? bases[0] : null);
        db.store.put("values", { "concepts.0.folder": "", ...(loaded ? { "model.base": loaded.value } : {}) });
    }

    // After a reload the run that is under way is on the page again, else the model that was chosen.
    async function goOnWhereWeWere() {
        await db.queue.refresh();
        const entries = db.store.get("queue").entries;
        const running = entries.find((one) => one.status === "running");
        const names = db.store.get("models").map((one) => one.name);
        const wanted = running ? running.model : localStorage.getItem("dreambooth_model");
        if (wanted && names.includes(wanted)) await db.models.choose(wanted, isRestored);
        if ((db.store.get("stopped") || []).length && !running) db.say.note(db.store.get("stopped").map((one) => db.words.said(one.sentence)).join(" "));
    }

    function tab(id, title) {
        return db.dom.el("button", { type: "button", role: "tab", class: "dreambooth-tab", id: `dreambooth_tab_${id}`, "aria-controls": `dreambooth_panel_${id}`, onclick: () => turnTo(id) }, db.words.t(title));
    }

    // Others may have made or deleted models meanwhile.
    function turnTo(id) {
        show(id);
        db.models.refresh().catch(() => undefined);
    }

    function show(id) {
        const panels = [...mounted.querySelectorAll(".dreambooth-panel")];
        const wanted = panels.find((one) => one.id === `dreambooth_panel_${id}`) || panels[0];
        panels.forEach((one) => (one.hidden = one !== wanted));
        mounted.querySelectorAll(".dreambooth-tab").forEach((one) => {
            const isShown = one.getAttribute("aria-controls") === wanted.id;
            one.setAttribute("aria-selected", String(isShown));
            one.tabIndex = isShown ? 0 : -1;
        });
        localStorage.setItem("dreambooth_panel", wanted.id.replace("dreambooth_panel_", ""));
        const fresh = { queue: db.queue.refresh, results: db.results.refresh }[wanted.id.replace("dreambooth_panel_", "")];
        if (fresh) fresh().catch(() => undefined);
    }

    function byArrows(event) {
        const tabs = [...mounted.querySelectorAll(".dreambooth-tab")];
        const here = tabs.indexOf(document.activeElement);
        const place = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
        if (here < 0 || place === undefined) return;
        event.preventDefault();
        const next = tabs[(place + tabs.length) % tabs.length];
        next.click();
        next.focus();
    }

    // Hosts make and remake the page when they like; a look twice a second costs nothing. Other scripts of ours may
    // still be on their way while the place is there already.
    function look() {
        // Reload UI takes the whole page away, then waits for its answer.
        if (mounted && !mounted.isConnected) db.live.stop();
        const place = document.getElementById(ROOT);
        if (place && place !== mounted && (haveAllCome || document.readyState === "complete")) mount(place);
    }

    setInterval(look, LOOK_EVERY_MS);
    // Nothing of the last moment is lost.
    window.addEventListener("pagehide", keepForm);
    document.addEventListener("DOMContentLoaded", () => {
        haveAllCome = true;
        look();
    });

    db.app = { root, show };
})();
