// Pictures by their folder's path, or by dropping or choosing files and zips, which go to the model's own folder.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let arriving = Promise.resolve();
    const ACCEPTED = "image/*,.zip,.txt,.caption,.json,.jsonl";

    function area() {
        const { el } = db.dom;
        const t = db.words.t;
        const chooser = el("input", { type: "file", multiple: true, accept: ACCEPTED, class: "dreambooth-hidden", "aria-label": t("Choose files"), id: "dreambooth_files" });
        const told = el("p", { class: "dreambooth-hint", role: "status" });
        const zone = el("label", { class: "dreambooth-drop", for: "dreambooth_files" }, el("strong", {}, t("Drop pictures or a zip here")), el("span", {}, t("or press to choose files")), chooser);
        const take = (files) => (arriving = send(files, told).catch(db.say.problem));
        chooser.addEventListener("change", () => take([...chooser.files]));
        for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, (event) => hold(event, zone, true));
        for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, (event) => hold(event, zone, false));
        zone.addEventListener("drop", async (event) => take(await filesOf(event.dataTransfer)));
        const folder = db.field.row("concepts.0.folder");
        db.store.listen(["values", "problems", "notices"], () => folder.refresh());
        return el("div", {}, folder, zone, told);
    }

    function hold(event, zone, isOver) {
        event.preventDefault();
        event.stopPropagation();
        zone.classList.toggle("dreambooth-over", isOver);
    }

    // Folders that were dropped are walked through.
    async function filesOf(transfer) {
        const entries = [...transfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
        if (!entries.length) return [...transfer.files];
        const found = [];
        for (const entry of entries) await walk(entry, found);
        return found;
    }

    async function walk(entry, found) {
        if (entry.isFile) {
            found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
            return;
        }
        const reader = entry.createReader();
        for (;;) {
            const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
            if (!some.length) return;
            for (const one of some) await walk(one, found);
        }
    }

    async function send(files, told) {
        const t = db.words.t;
        const wanted = files.filter((file) => !file.name.startsWith("."));
        if (!wanted.length) return;
        let answer = { upload: "", folder: "" };
        let number = 0;
        for (const file of wanted) {
            told.textContent = t("Sending {done} of {all}: {name}", { done: number + 1, all: wanted.length, name: file.name });
            answer = await db.routes.upload(answer.upload, file);
            number += 1;
        }
        told.textContent = t("{count} files are here.", { count: wanted.length });
        db.field.set("concepts.0.folder", answer.folder);
    }

    // Resolves when everything that was dropped so far is here.
    function arrived() {
        return arriving;
    }

    db.upload = { area, arrived };
})();
