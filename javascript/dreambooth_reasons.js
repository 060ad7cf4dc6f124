// Where a setting applies, "Network Type is lora and Convolution Rank is set", in the language of the page.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const PART = /^([( ]*)(.+?) is (not )?(.+?)(\)*)$/;

    // An empty text where this is no condition on settings.
    function said(text) {
        const parts = text.split(/( and | or )/);
        const first = PART.exec(parts[0]);
        if (!first || !db.words.isLabel(first[2])) return "";
        return parts.map(part).join("");
    }

    function part(text) {
        const t = db.words.t;
        if (text === " and ") return ` ${t("and")} `;
        if (text === " or ") return ` ${t("or")} `;
        const found = PART.exec(text);
        if (!found || !db.words.isLabel(found[2])) return text;
        const [, before, name, not, value, after] = found;
        const state = value === "set" ? `: ${t(not ? "not set" : "set")}` : ` ${not ? "≠" : "="} ${value}`;
        return `${before}${db.words.label(name)}${state}${after}`;
    }

    db.reasons = { said };
})();
