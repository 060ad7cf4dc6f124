// The routes of this extension. Everything that goes wrong arrives as one kind of error: what, where, todo.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    class Problem extends Error {
        constructor(told) {
            super([told.where, told.what, told.todo].filter(Boolean).join(": "));
            this.told = told;
        }

        // Each single problem, those of settings with the path of their field.
        get all() {
            return this.told.problems && this.told.problems.length ? this.told.problems : [this.told];
        }
    }

    // Where the host asks programs for a password its page has a token instead; pictures carry it in their address.
    function address(path) {
        const page = window.location.pathname.replace(/[^/]*$/, "");
        const found = new URL(`${window.location.origin}${page}dreambooth/v1/${path}`);
        const token = db.app.root().dataset.token;
        if (token) found.searchParams.set("token", token);
        return found.href;
    }

    async function ask(method, path, body) {
        const options = { method, credentials: "same-origin", headers: { Accept: "application/json" } };
        if (body instanceof Blob) {
            options.body = body;
            options.headers["Content-Type"] = body.type || "application/octet-stream";
        } else if (body !== undefined) {
            options.body = JSON.stringify(body);
            options.headers["Content-Type"] = "application/json";
        }
        let answer;
        try {
            answer = await fetch(address(path), options);
        } catch (error) {
            throw new Problem({ code: "no-answer", what: db.words.t("The program does not answer."), todo: db.words.t("Look whether it still runs.") });
        }
        const text = await answer.text();
        let data = null;
        try {
            data = text ? JSON.parse(text) : null;
        } catch (error) {
            data = null;
        }
        if (!answer.ok) throw new Problem(toldBy(answer, data));
        return data;
    }

    function toldBy(answer, data) {
        const told = data && (data.error || data.detail || data);
        if (told && typeof told === "object" && told.what) return told;
        return { code: `http-${answer.status}`, what: `${db.words.t("The program refused this.")} (${answer.status})` };
    }

    const enc = encodeURIComponent;
    const get = (path) => ask("GET", path);
    const post = (path, body) => ask("POST", path, body === undefined ? {} : body);

    db.api = { Problem, address, ask, get, post, enc };
})();
