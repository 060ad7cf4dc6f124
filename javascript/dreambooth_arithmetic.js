// The line of steps, "12 pictures x 10 repeats = 120 visits", in the language of the page: number by number.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    // What stands between two parts; each part is looked up alone.
    const BETWEEN = ["; ", ", ", " = ", " x "];
    const PARTS = [
        [/^([\d,.]+) pictures? with their repeats$/, ["count"], "{count} pictures with their repeats"],
        [/^([\d,.]+) pictures?$/, ["count"], "{count} pictures"],
        [/^([\d,.]+) repeats?$/, ["count"], "{count} repeats"],
        [/^([\d,.]+) visits?$/, ["count"], "{count} visits"],
        [/^([\d,.]+) batch(?:es)?$/, ["count"], "{count} batches"],
        [/^([\d,.]+) steps?$/, ["count"], "{count} steps"],
        [/^([\d,.]+) steps? an epoch$/, ["count"], "{count} steps an epoch"],
        [/^([\d,.]+) epochs?$/, ["count"], "{count} epochs"],
        [/^with ([\d,.]+) class pictures ([\d,.]+)$/, ["count", "all"], "with {count} class pictures {all}"],
        [/^each with a class picture beside it$/, [], "each with a class picture beside it"],
        [/^in (\d+) buckets of (.+)$/, ["count", "sizes"], "in {count} buckets of {sizes}"],
        [/^in (\d+) buckets$/, ["count"], "in {count} buckets"],
        [/^batch (\d+) gives (.+)$/, ["size", "given"], "batch {size} gives {given}"],
        [/^accumulation (\d+) gives (.+)$/, ["size", "given"], "accumulation {size} gives {given}"],
        [/^the last of (.+)$/, ["given"], "the last of {given}"],
        [/^until stopped$/, [], "until stopped"],
    ];

    function said(line, depth) {
        if (depth === BETWEEN.length) return part(line);
        return line.split(BETWEEN[depth]).map((one) => said(one, depth + 1)).join(BETWEEN[depth]);
    }

    function part(text) {
        for (const [pattern, names, words] of PARTS) {
            const found = pattern.exec(text);
            if (found) return db.words.t(words, Object.fromEntries(names.map((name, number) => [name, part(found[number + 1])])));
        }
        return text.replace(" and ", " + ");
    }

    db.arithmetic = { said: (line) => (db.words.language() === "en" ? line : said(line, 0)) };
})();
