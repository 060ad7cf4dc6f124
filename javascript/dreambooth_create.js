// A model folder that knows its base. Nothing is copied: it takes a second.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let arriving = null;

    function panel() {
        const { el, button } = db.dom;
        const t = db.words.t;
        const name = el("input", { type: "text", id: "dreambooth_create_name", class: "dreambooth-input", autocomplete: "off" });
        const base = el("input", { type: "text", id: "dreambooth_create_base", class: "dreambooth-input", list: "dreambooth_create_bases", autocomplete: "off", spellcheck: "false" });
        const choices = el("datalist", { id: "dreambooth_create_bases" });
        const told = el("p", { class: "dreambooth-hint", role: "status" });
        const draw = () => db.dom.fill(choices, db.store.get("bases").map((one) => el("option", { value: one.value }, one.label)));
        db.store.listen("bases", draw);
        draw();
        const make = async () => {
            const made = await db.routes.createModel(name.value, base.value);
            told.textContent = t("{name} is made; it is trained from {base}.", { name: made.name, base: `${db.text.fileName(base.value)} (${made.family})` });
            await db.models.refresh();
            await db.models.choose(made.name);
            db.field.set("model.base", base.value);
        };
        const create = async () => {
            try {
                await make();
            } catch (error) {
                if (!(error instanceof db.api.Problem) || error.told.code !== "hub-name") throw error;
                if (await download(base.value)) await make();
            }
        };
        // What the hub has under a name is fetched when somebody says so; the model is made when it is there.
        const download = async (wanted) => {
            told.textContent = t("Asking the Hugging Face hub");
            const found = await db.routes.fetchBase(wanted, false).finally(() => (told.textContent = ""));
            if (!found.is_there) {
                const question = t("Download {name} ({size}) from the Hugging Face hub into {folder}?", { name: found.id, size: db.text.bytes(found.num_bytes), folder: found.path });
                if ((await db.pictures.ask(question, [["yes", t("Download"), "primary"]])) !== "yes") return false;
                const { task } = await db.routes.fetchBase(wanted, true);
                if (task) {
                    arriving = async (done) => {
                        base.value = done.answer.path;
                        await make();
                    };
                    db.tasks.follow(task);
                    return false;
                }
            }
            base.value = found.path;
            return true;
        };
        return el(
            "div",
            { class: "dreambooth-card" },
            el("p", { class: "dreambooth-hint" }, t("Train makes a model by itself. Make one here to choose its base before anything else.")),
            el("div", { class: "dreambooth-grid" }, row(t("Name"), name, t("Also the name of the file: letters and numbers.")), row(db.words.label("Source Checkpoint"), base, t("One of the list, the path of a checkpoint or a diffusers folder, or a name of the Hugging Face hub (owner/name). It is only read."))),
            el("div", { class: "dreambooth-row" }, button(db.words.label("Create Model"), create, { kind: "primary", id: "dreambooth_create" })),
            choices,
            told,
            db.tasks.list(),
        );
    }

    function row(label, control, help) {
        const { el } = db.dom;
        return el("div", { class: "dreambooth-field" }, el("label", { class: "dreambooth-label", for: control.id }, label), control, el("div", { class: "dreambooth-hint" }, help));
    }

    // After a reload of the page nobody waits for it, and it stands in the list of bases.
    async function fetched(task) {
        db.say.note(`${db.words.t("Downloaded")}: ${task.answer.name}`);
        await db.models.refresh();
        if (arriving) await arriving(task);
        arriving = null;
    }

    db.create = { panel, fetched };
})();
