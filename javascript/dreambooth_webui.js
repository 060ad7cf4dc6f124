// In a WebUI: a result goes into txt2img, as if it was typed there.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const TICK_MS = 100;
    const LOOK_MS = 20;
    const MOST_MS = 20000;
    // Before the WebUI shows that it works on something.
    const BEGUN_MS = 2000;
    // Buttons that make a list anew, and where it stands. Those of cards make the one of checkpoints anew too.
    // The second one of checkpoints is Forge's.
    const CARDS = { buttons: ["txt2img_lora_extra_refresh_internal"], list: "txt2img_lora_cards_html" };
    const CHECKPOINTS = { buttons: ["refresh_sd_model_checkpoint", "forge_refresh_checkpoint"], list: "setting_sd_model_checkpoint" };

    async function send(one, sending) {
        const area = document.querySelector("#txt2img_prompt > label > textarea, #txt2img_prompt textarea");
        if (!area) throw new Error(db.words.t("This page has no txt2img."));
        await listed(CARDS);
        if (sending.checkpoint) await chooseCheckpoint(sending.checkpoint);
        const isPasted = Boolean(sending.text) && (await paste(area, sending.text));
        if (!isPasted) add(area, one, sending);
        toTxt2img();
    }

    // The WebUI reads the whole text of a picture into its form: prompts, sampler, steps, size, seed and the rest.
    async function paste(area, text) {
        const arrow = document.querySelector("#tab_txt2img #paste, #txt2img_tools #paste");
        if (!arrow) return false;
        put(area, text);
        await pause();
        arrow.click();
        return until(() => area.value !== text);
    }

    // Without such a text only the prompt is known: it is added, in place of an earlier strength of the same network.
    function add(area, one, sending) {
        const tag = one.kind === "adapter" ? new RegExp(`,?\\s*<lora:${escaped(one.name)}:[^>]*>`, "g") : null;
        const before = tag ? area.value.replace(tag, "") : area.value;
        const parts = sending.prompt.split(", ").filter((part) => part && !before.includes(part));
        put(area, [before.trim().replace(/,$/, ""), ...parts].filter(Boolean).join(", "));
    }

    function put(area, text) {
        area.value = text;
        if (typeof window.updateInput === "function") window.updateInput(area);
        else area.dispatchEvent(new Event("input", { bubbles: true }));
    }

    async function chooseCheckpoint(name) {
        if (typeof window.selectCheckpoint !== "function") return;
        await listed(CHECKPOINTS);
        window.selectCheckpoint(name);
    }

    // Its lists were made before there was the file. While the WebUI makes them anew it knows of no file at all: what is
    // chosen then is not found, and who draws then draws with another checkpoint.
    async function listed({ buttons, list }) {
        const hidden = buttons.map((id) => document.getElementById(id)).find(Boolean);
        if (!hidden) return;
        hidden.dispatchEvent(new Event("click"));
        await until(() => isListing(list), BEGUN_MS);
        await until(() => !isListing(list));
    }

    // Gradio lays a veil over what an answer is awaited for.
    function isListing(list) {
        return Boolean(document.querySelector(`#${list} > .wrap:not(.hide)`));
    }

    function pause(ms = TICK_MS) {
        return new Promise((resolve) => setTimeout(resolve, ms));
    }

    async function until(holds, most = MOST_MS) {
        for (const end = Date.now() + most; Date.now() < end; ) {
            if (holds()) return true;
            await pause(LOOK_MS);
        }
        return holds();
    }

    function escaped(text) {
        return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    }

    // The first tab may be another one where the user reordered or hid some, and its words may be in any language:
    // buttons stand in the order of what they show.
    function toTxt2img() {
        const buttons = [...document.querySelectorAll("#tabs > .tab-nav > button")];
        const panels = [...document.querySelectorAll("#tabs > .tabitem")];
        const place = panels.findIndex((one) => one.id === "tab_txt2img");
        const found = buttons.find((one) => one.textContent.trim() === "txt2img") || buttons[place];
        if (found) found.click();
    }

    db.webui = { send };
})();
