// The words of the page in the language of the host. The catalogue comes with the page, keyed by the English words.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const EMPTY = { language: "en", words: {}, labels: {}, help: {}, names: {}, messages: {} };
    const PLACE = /\{(\w+)(#?)\}/g;
    const SENTENCE = /[^]*?[.?!](?:\s+|$)|[^]+$/g;
    // A value that goes on into another sentence was not meant.
    const MORE = /[.?!] /;
    const DEEPEST = 3;
    const LONGEST = 1000;
    const WIDEST_CHOICE = 38;
    let catalogue = EMPTY;
    let templates = null;
    let known = new Map();

    function use(loaded) {
        catalogue = { ...EMPTY, ...loaded };
        templates = null;
        known = new Map();
    }

    // t("{count} pictures", {count: 3}); words that are not in the catalogue stay English.
    function t(english, values) {
        return filled(catalogue.words[english] || english, (name) => (values && name in values ? String(values[name]) : null));
    }

    // A place with # takes the number of a value such as "3 pictures are".
    function filled(text, value) {
        return text.replace(PLACE, (whole, name, sign) => {
            const found = value(name);
            if (found === null) return whole;
            return sign ? (/[\d.,]*\d/.exec(found) || [found])[0] : found;
        });
    }

    // The English label stays readable beside the translation, because guides quote it.
    function label(english) {
        const own = catalogue.labels[english] || catalogue.words[english];
        return own && own !== english ? `${english}（${own}）` : english;
    }

    // Where there is no room for both: what can be chosen, and what stands in a box until something is typed.
    function short(english) {
        return catalogue.labels[english] || catalogue.words[english] || english;
    }

    // Letters of Chinese, Japanese and Korean are twice as wide.
    function choice(english) {
        const both = label(english);
        const width = [...both].reduce((sum, letter) => sum + (letter.codePointAt(0) > 0x2e7f ? 2 : 1), 0);
        return width > WIDEST_CHOICE ? short(english) : both;
    }

    function isLabel(english) {
        return english in catalogue.labels;
    }

    function help(path, english) {
        return catalogue.help[path] || english;
    }

    // Other names of a setting in the language, for the search.
    function names(path) {
        return catalogue.names[path] || "";
    }

    function language() {
        return catalogue.language;
    }

    // What the program said, which knows English only: its sentences are recognised, their values stay.
    function said(text) {
        if (!text || text.length > LONGEST) return text || "";
        if (!known.has(text)) known.set(text, translated(String(text), 0));
        return known.get(text);
    }

    // A problem, notice or finding: what it is, what it does to training, what to do.
    function told(one) {
        return [one.what, one.effect, one.todo].filter(Boolean).map(said).join(" ");
    }

    function translated(text, depth) {
        const whole = recognised(text, depth);
        if (whole !== null) return whole;
        const sentences = text.match(SENTENCE) || [text];
        if (sentences.length < 2) return text;
        return sentences.map((one) => translated(one.trim(), depth)).join(" ").replace(/([。！？）]) /g, "$1");
    }

    function recognised(text, depth) {
        templates = templates || compiled();
        for (const { pattern, own } of templates) {
            const found = pattern.exec(text);
            if (found && !found.slice(1).some((value) => MORE.test(value))) return filled(own, (number) => valued(found[Number(number)], depth)).replace(/ {2,}/g, " ");
        }
        return null;
    }

    function valued(value, depth) {
        const text = value.trim();
        if (catalogue.labels[text]) return label(text);
        if (catalogue.words[text]) return catalogue.words[text];
        const reason = db.reasons.said(text);
        if (reason) return reason;
        return depth < DEEPEST && text.includes(" ") ? translated(text, depth + 1) : text;
    }

    // The longest first: what has most words of its own is meant. A value that stands right before another is one word.
    function compiled() {
        const all = Object.entries(catalogue.messages).map(([english, own]) => ({ own, letters: english.replace(PLACE, "").length, pattern: patternOf(english) }));
        return all.sort((one, other) => other.letters - one.letters);
    }

    function patternOf(english) {
        const escaped = english.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
        const source = escaped.replace(/\{\d+\}(?=\{)/g, "(\\S*[^\\s.?!]|)").replace(/\{\d+\}/g, "([^]*?)");
        return new RegExp(`^${source}$`);
    }

    db.words = { use, language, t, label, short, choice, isLabel, help, names, said, told };
})();
