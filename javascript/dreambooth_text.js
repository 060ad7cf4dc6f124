// Numbers for people.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

    function whole(value) {
        return Math.round(value).toLocaleString("en-US");
    }

    // Three digits that matter, small ones with a power: 0.00012 is easier to compare as 1.2e-4.
    function number(value) {
        if (!Number.isFinite(value)) return "";
        const size = Math.abs(value);
        if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
        return String(Number(value.toPrecision(3)));
    }

    function bytes(value) {
        let left = value;
        let unit = 0;
        while (left >= 1000 && unit < UNITS.length - 1) {
            left /= 1000;
            unit += 1;
        }
        return `${left >= 100 || unit === 0 ? Math.round(left) : left.toFixed(1)} ${UNITS[unit]}`;
    }

    function seconds(value) {
        if (!Number.isFinite(value) || value < 0) return "";
        const all = Math.round(value);
        const hours = Math.floor(all / 3600);
        const minutes = Math.floor((all % 3600) / 60);
        const t = db.words.t;
        if (hours) return t("{hours} h {minutes} min", { hours, minutes });
        if (minutes >= 10) return t("{minutes} min", { minutes });
        return minutes ? t("{minutes} min {seconds} s", { minutes, seconds: all % 60 }) : t("{seconds} s", { seconds: all });
    }

    function speed(value) {
        if (!Number.isFinite(value) || value <= 0) return "";
        return value >= 1 ? db.words.t("{speed} steps/s", { speed: value.toFixed(2) }) : db.words.t("{speed} s/step", { speed: (1 / value).toFixed(2) });
    }

    function time(secondsSince1970) {
        const language = db.words.language();
        return new Date(secondsSince1970 * 1000).toLocaleString(language === "en" ? undefined : language);
    }

    function fileName(path) {
        return String(path).split(/[\\/]/).pop();
    }

    db.text = { whole, number, bytes, seconds, speed, time, fileName };
})();
