// In a WebUI: the result goes into txt2img, as if it was typed there.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});

    async function send(one, sending) {
        const prompt = sending.prompt;
        if (sending.checkpoint && typeof window.selectCheckpoint === "function") window.selectCheckpoint(sending.checkpoint);
        const area = document.querySelector("#txt2img_prompt > label > textarea, #txt2img_prompt textarea");
        if (!area) throw new Error(db.words.t("This page has no txt2img."));
        // An earlier strength of the same network is replaced.
        const tag = one.kind === "adapter" ? new RegExp(`,?\\s*<lora:${escaped(one.name)}:[^>]*>`, "g") : null;
        const before = tag ? area.value.replace(tag, "") : area.value;
        const parts = [...prompt.split(", ")].filter((part) => part && !before.includes(part));
        area.value = [before.trim().replace(/,$/, ""), ...parts].filter(Boolean).join(", ");
        if (typeof window.updateInput === "function") window.updateInput(area);
        else area.dispatchEvent(new Event("input", { bubbles: true }));
        toTxt2img();
    }

    function escaped(text) {
        return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    }

    // The first tab may be another one where the user reordered them: the button is found by its words.
    function toTxt2img() {
        const buttons = [...document.querySelectorAll("#tabs > .tab-nav > button")];
        const found = buttons.find((one) => one.textContent.trim() === "txt2img") || buttons[0];
        if (found) found.click();
    }

    db.webui = { send };
})();
