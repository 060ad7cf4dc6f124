// What was found about the pictures, the worst first.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const ORDER = ["error", "warning", "note"];

    function list() {
        const made = db.dom.el("ul", { class: "dreambooth-findings" });
        const draw = () => show(made, (db.store.get("plan") || {}).findings || []);
        db.store.listen("plan", draw);
        draw();
        return made;
    }

    function show(made, findings) {
        const { el, fill } = db.dom;
        const sorted = [...findings].sort((one, other) => ORDER.indexOf(one.severity) - ORDER.indexOf(other.severity));
        fill(made, sorted.map((one) => el("li", { class: `dreambooth-finding dreambooth-finding-${ORDER.includes(one.severity) ? one.severity : "note"}` }, el("span", {}, words(one)), files(one))));
    }

    // Names of files stand between marks for terminals.
    function words(one) {
        return db.words.told(one).replace(/`([^`]*)`/g, "$1");
    }

    function files(one) {
        const { el } = db.dom;
        const paths = (one.paths || []).filter((path) => !words(one).includes(db.text.fileName(path)));
        if (!paths.length) return null;
        const names = paths.slice(0, 3).map(db.text.fileName).join(", ");
        return el("span", { class: "dreambooth-finding-files", title: paths.slice(0, 40).join("\n") }, paths.length > 3 ? `${names} ${db.words.t("and {count} more", { count: paths.length - 3 })}` : names);
    }

    db.findings = { list, show };
})();
