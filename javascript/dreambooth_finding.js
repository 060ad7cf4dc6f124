// Finds a setting by any of its names, in whatever letters they are typed.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const KANA_APART = 0x60;

    // Full width is half width, katakana is hiragana, long vowels and signs between words do not count.
    function fold(text) {
        const plain = text.normalize("NFKC").toLowerCase();
        const hiragana = plain.replace(/[\u30a1-\u30f6]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) - KANA_APART));
        return hiragana.replace(/[\u30fc'’]/g, "").replace(/[\s_\-.,:;/()[\]「」、・・]+/g, " ").trim();
    }

    // Every name of a field: here, in the language of the page, in kohya's scripts, the old extension and OneTrainer.
    function names(field) {
        const path = field["x-path"];
        const all = [field.title, db.words.label(field.title), db.words.names(path), path, ...(field["x-kohya"] || []), ...(field["x-old"] || []), ...(field["x-also"] || [])];
        return all.map(fold).join("\n");
    }

    // The words asked for; each has to be in the names.
    function asked(query) {
        return fold(query).split(" ").filter(Boolean);
    }

    function isFound(folded, words) {
        return words.every((word) => folded.includes(word));
    }

    db.finding = { fold, names, asked, isFound };
})();
