// Curves as SVG: drawn from numbers, in the colours of the theme, with a table of values under the pointer.
(function () {
    "use strict";
    const db = (window.sdDreambooth = window.sdDreambooth || {});
    const WIDTH = 640;
    const HEIGHT = 170;
    // Where the lines begin in the place that has their labels too, and what that place has beside them: as in style.css.
    const LEFT_PX = 62;
    const BESIDE_PX = 70;
    const TOP_PX = 8;
    const MOST_POINTS = 600;

    // lines: [{name, points: [[x, y], ...], kind: "main" | "faint" | "second" | "third"}]; the caption is for all who cannot see it.
    function chart(lines, options) {
        const { el } = db.dom;
        const { caption = "", xMost = 0, marks = [] } = options || {};
        const drawn = lines.map((line) => ({ ...line, points: thinned(line.points.filter(([, y]) => Number.isFinite(y))) }));
        const all = drawn.flatMap((line) => line.points);
        const made = el("div", { class: "dreambooth-chart" });
        if (!all.length) {
            made.append(el("p", { class: "dreambooth-empty" }, db.words.t("Nothing to draw yet.")));
            return made;
        }
        const scale = scaleOf(all, xMost);
        const svg = el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": caption, preserveAspectRatio: "none" });
        const plot = el("div", { class: "dreambooth-plot" }, svg);
        axes(svg, plot, scale);
        for (const mark of marks) svg.append(el("line", { class: "dreambooth-mark", x1: scale.x(mark.x), x2: scale.x(mark.x), y1: 0, y2: HEIGHT }, el("title", {}, mark.text)));
        for (const line of drawn) svg.append(el("polyline", { class: `dreambooth-line dreambooth-line-${line.kind || "main"}`, points: line.points.map(([x, y]) => `${scale.x(x).toFixed(1)},${scale.y(y).toFixed(1)}`).join(" ") }));
        const told = el("div", { class: "dreambooth-legend" }, drawn.map((line) => el("span", { class: `dreambooth-key dreambooth-key-${line.kind || "main"}` }, line.name)), el("span", { class: "dreambooth-under" }));
        follow(svg, drawn, scale, told.lastChild);
        made.append(plot, told);
        return made;
    }

    // Long curves keep each stretch's first value; the eye cannot tell them apart.
    function thinned(points) {
        if (points.length <= MOST_POINTS) return points;
        const every = points.length / MOST_POINTS;
        const kept = Array.from({ length: MOST_POINTS }, (unused, number) => points[Math.floor(number * every)]);
        kept.push(points[points.length - 1]);
        return kept;
    }

    function scaleOf(all, xMost) {
        const xs = all.map(([x]) => x);
        const ys = all.map(([, y]) => y);
        const xLow = Math.min(0, ...xs);
        const xHigh = Math.max(xMost, ...xs, xLow + 1);
        // From 0 where nothing is below: half as high is half as much.
        const yLow = Math.min(0, ...ys);
        const yHigh = Math.max(...ys, yLow + 1e-12) * 1.06;
        return {
            x: (value) => ((value - xLow) / (xHigh - xLow)) * WIDTH,
            y: (value) => HEIGHT - ((value - yLow) / (yHigh - yLow)) * HEIGHT,
            back: (share) => xLow + share * (xHigh - xLow),
            xLow, xHigh, yLow, yHigh,
        };
    }

    function axes(svg, plot, scale) {
        const { el } = db.dom;
        for (const part of [0, 0.5, 1]) {
            const y = scale.yLow + (scale.yHigh - scale.yLow) * part;
            svg.append(el("line", { class: "dreambooth-axis", x1: 0, x2: WIDTH, y1: scale.y(y), y2: scale.y(y) }));
            plot.append(el("span", { class: "dreambooth-tick dreambooth-tick-y", style: `top:${TOP_PX + scale.y(y)}px` }, db.text.number(y)));
        }
        const ends = el("div", {});
        for (const part of [0, 0.5, 1]) {
            const x = scale.xLow + (scale.xHigh - scale.xLow) * part;
            ends.append(el("span", { class: "dreambooth-tick dreambooth-tick-x", style: `left:calc(${LEFT_PX}px + (100% - ${BESIDE_PX}px) * ${part})` }, db.text.whole(x)));
        }
        plot.append(ends);
    }

    function follow(svg, lines, scale, place) {
        svg.addEventListener("mousemove", (event) => {
            const box = svg.getBoundingClientRect();
            const x = scale.back((event.clientX - box.left) / box.width);
            const told = lines.filter((line) => line.points.length).map((line) => `${line.name} ${db.text.number(nearest(line.points, x)[1])}`);
            place.textContent = `${db.words.t("Step")} ${db.text.whole(nearest(lines[0].points.length ? lines[0].points : lines[1].points, x)[0])}: ${told.join(", ")}`;
        });
        svg.addEventListener("mouseleave", () => (place.textContent = ""));
    }

    function nearest(points, x) {
        return points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
    }

    db.curve = { chart };
})();
