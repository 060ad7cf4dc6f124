// When a setting applies: the conditions of the schema, as lib_dreambooth/settings/conditions.py has them.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const NEVER = /^\s*(never|0+(\.0*)?\s*[a-z%]*)\s*$/i;

    // `look` finds a value by its path; a path with a leading point stays in the section of `here`.
    function holds(when, here, look) {
        if (when === undefined || when === null || when === true) return true;
        if (when.not !== undefined) return !holds(when.not, here, look);
        if (when.all) return when.all.every((part) => holds(part, here, look));
        if (when.any) return when.any.some((part) => holds(part, here, look));
        const path = when.path.startsWith(".") ? here.replace(/\.[^.]*$/, "") + when.path : when.path;
        const { value, kind } = look(path);
        if (when.is) return when.is.some((one) => one === value);
        return isSet(value, kind);
    }

    function isSet(value, kind) {
        if (kind === "duration") return !NEVER.test(String(value));
        if (Array.isArray(value)) return value.length > 0;
        if (value && typeof value === "object") return Object.keys(value).length > 0;
        return Boolean(value);
    }

    db.conditions = { holds, isSet };
})();
