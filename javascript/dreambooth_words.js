// The words of the page in the language of the host. The catalogue comes with the page, keyed by the English words.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    let catalogue = { words: {}, labels: {}, help: {} };

    function use(loaded) {
        catalogue = { words: {}, labels: {}, help: {}, ...loaded };
    }

    // t("{count} pictures", {count: 3}); words that are not in the catalogue stay English.
    function t(english, values) {
        const text = catalogue.words[english] || english;
        return text.replace(/\{(\w+)\}/g, (whole, name) => (values && name in values ? String(values[name]) : whole));
    }

    // The English label stays readable beside the translation, because guides quote it.
    function label(english) {
        const own = catalogue.labels[english] || catalogue.words[english];
        return own && own !== english ? `${english}（${own}）` : english;
    }

    function help(path, english) {
        return catalogue.help[path] || english;
    }

    db.words = { use, t, label, help };
})();
