// Class pictures that a training would draw first, drawn without it.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const DRAW = "class_pictures.draw";

    function draw() {
        return db.dom.button(db.words.label("Generate Class Images"), begin, { id: "dreambooth_draw_classes", title: db.words.t("Draws the class pictures that a training would lack, without training") });
    }

    async function begin() {
        const task = await db.routes.drawClasses(db.schema.nested(db.store.get("values")), db.models.wantedName());
        // Or a training would leave them where they are.
        if (!db.schema.value(DRAW)) db.field.set(DRAW, true);
        db.tasks.follow(task);
    }

    async function made(task) {
        const { drawn, there } = task.answer;
        db.say.note(db.words.t("{drawn} class pictures were drawn; {name} has {there}.", { drawn: db.text.whole(drawn), there: db.text.whole(there), name: task.model }));
        await db.models.refresh();
    }

    db.classes = { draw, made };
})();
