// The schema of the settings: every field in order, its default, and where its value stands.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let groups = [];
    let byPath = new Map();

    // Takes the JSON Schema of the settings apart.
    function use(schema) {
        groups = [];
        byPath = new Map();
        walk(schema, "");
    }

    function walk(node, path) {
        for (const [name, child] of Object.entries(node.properties || {})) {
            const here = path ? `${path}.${name}` : name;
            const isList = child.type === "array" && child.items && child.items.properties && !child["x-path"];
            const body = isList ? child.items : child;
            if (child["x-path"]) continue;
            const fields = Object.values(body.properties || {}).filter((field) => field["x-path"]);
            if (fields.length) {
                groups.push({ path: here, title: body.title, help: body.description, isList, fields });
                fields.forEach((field) => byPath.set(field["x-path"], field));
            }
            if (!isList) walk(body, here);
        }
    }

    function starred(path) {
        return path.replace(/\.\d+(?=\.|$)/g, ".*");
    }

    function field(path) {
        return byPath.get(starred(path));
    }

    function value(path) {
        const values = db.store.get("values");
        if (path in values) return values[path];
        const found = field(path);
        if (found) return found.default;
        const group = groups.find((one) => one.path === path && one.isList);
        return group ? Array(count(path)).fill({}) : undefined;
    }

    // Entries of a list (concepts, words): as many as the highest number named.
    function count(list) {
        const numbers = Object.keys(db.store.get("values"))
            .filter((path) => path.startsWith(`${list}.`))
            .map((path) => Number(path.split(".")[1]) + 1);
        return Math.max(0, ...numbers);
    }

    function applies(path) {
        const found = field(path);
        return db.conditions.holds(found && found["x-when"], path, (other) => {
            const target = field(other);
            return { value: value(other), kind: target ? target["x-kind"] : "" };
        });
    }

    // One nested JSON value, as files have it: what a run is made from.
    function nested(values) {
        const root = {};
        for (const [path, one] of Object.entries(values)) {
            const parts = path.split(".");
            let here = root;
            parts.forEach((part, number) => {
                const isLast = number === parts.length - 1;
                const next = isLast ? one : /^\d+$/.test(parts[number + 1]) ? [] : {};
                if (isLast) here[part] = one;
                else here = here[part] = here[part] === undefined ? next : here[part];
            });
        }
        for (const group of groups) if (group.isList && root[group.path]) root[group.path] = Array.from(root[group.path], (entry) => entry || {});
        return root;
    }

    // The opposite: values by path, without those that equal the default.
    function flat(tables) {
        const found = {};
        for (const group of groups) {
            const section = group.path.split(".").reduce((here, part) => (here || {})[part], tables);
            if (group.isList) (section || []).forEach((entry, number) => take(found, group, entry, `${group.path}.${number}`));
            else take(found, group, section || {}, group.path);
        }
        return found;
    }

    function take(found, group, section, path) {
        for (const one of group.fields) {
            const key = one["x-path"].split(".").pop();
            if (!(key in section)) continue;
            const isFirst = group.isList && one === group.fields[0];
            if (isFirst || JSON.stringify(section[key]) !== JSON.stringify(one.default)) found[`${path}.${key}`] = section[key];
        }
    }

    // Every name that a field is known by, for the search.
    function names(one) {
        return db.finding.names(one);
    }

    db.schema = { use, field, value, count, applies, nested, flat, names, starred, groups: () => groups };
})();
