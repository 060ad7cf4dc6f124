// What the page knows, in one place. Panels ask to be told when a part of it changes.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const listeners = new Map();
    const state = {
        host: {},
        models: [],
        model: "",
        bases: [],
        presets: [],
        // Values of the form that differ from the defaults, by path with numbers: {"rates.learning_rate": 1e-4}.
        values: {},
        problems: [],
        notices: [],
        plan: null,
        queue: { entries: [], stops: false },
        stopped: [],
    };

    function get(name) {
        return state[name];
    }

    function put(name, value) {
        state[name] = value;
        tell(name);
    }

    function tell(name) {
        for (const listener of [...(listeners.get(name) || [])]) listener(state[name]);
    }

    function listen(names, listener) {
        for (const name of [].concat(names)) {
            if (!listeners.has(name)) listeners.set(name, new Set());
            listeners.get(name).add(listener);
        }
        return () => [].concat(names).forEach((name) => listeners.get(name).delete(listener));
    }

    // A new mount of the page starts with nobody listening.
    function forgetListeners() {
        listeners.clear();
    }

    db.store = { get, put, tell, listen, forgetListeners };
})();
