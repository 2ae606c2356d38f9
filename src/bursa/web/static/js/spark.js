/* The small course of a day in a table's row: one line, the previous close dashed, missing parts hatched.
   Pure, save `drawSpark`, which changes one svg. */

import { lean, mark, shape } from "./dom.js";

const WIDE = 80, HIGH = 18, INSET = 1;

/** {path, base, lost} in units of the spark: values are closes over equal parts of the day, null where a part
    has none; `lost` names parts in which messages are missing. A part without a trade keeps the last price; a
    lost one breaks the line. base: height of the previous close, null without one. */
export function sparkShape(values, prev, lost) {
  const known = values.filter((v) => v !== null);
  if (!known.length) return { path: "", base: null, lost: [] };
  const all = prev === null ? known : [...known, prev];
  const low = Math.min(...all), range = Math.max(...all) - low;
  const y = (v) => (range ? HIGH - INSET - ((v - low) / range) * (HIGH - 2 * INSET) : HIGH / 2).toFixed(1);
  const step = WIDE / values.length;
  const x = (part) => (values.length > 1 ? (part * WIDE) / (values.length - 1) : WIDE / 2).toFixed(1);
  const missing = new Set(lost);
  const out = [], rects = [];
  let last = null, pen = false;
  values.forEach((v, part) => {
    if (v === null && missing.has(part)) {
      const before = rects.at(-1);
      if (before && before.to === part) before.to = part + 1;
      else rects.push({ from: part, to: part + 1 });
      pen = false;
      return;
    }
    last = v ?? last;
    if (last === null) return;
    out.push(`${pen ? "L" : "M"}${x(part)} ${y(last)}`);
    pen = true;
  });
  return {
    path: values.length > 1 ? out.join("") : `M0 ${y(last)}H${WIDE}`,
    base: prev === null ? null : y(prev),
    lost: rects.map(({ from, to }) => ({ x: (from * step).toFixed(1), width: ((to - from) * step).toFixed(1) })),
  };
}

/** An empty spark, to be drawn. */
export const emptySpark = () => shape("svg", { class: "b-spark", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });

/** Draw a row's day into a spark; `direction` colours it. Touches what changed. */
export function drawSpark(svg, row, lost, direction) {
  const drawn = sparkShape(row.spark, row.prev, lost);
  const state = `${drawn.path}|${drawn.base}|${drawn.lost.map((r) => `${r.x},${r.width}`)}`;
  lean(svg, direction);
  if (svg.state === state) return;
  svg.state = state;
  let [base, path] = [svg.querySelector("line"), svg.querySelector("path")];
  if (!path) { base = shape("line", { x1: 0, x2: WIDE }); path = shape("path", {}); svg.append(base, path); }
  base.toggleAttribute("hidden", drawn.base === null);
  for (const end of ["y1", "y2"]) mark(base, end, drawn.base ?? 0);
  mark(path, "d", drawn.path);
  for (const rect of svg.querySelectorAll("rect")) rect.remove();
  for (const { x, width } of drawn.lost) svg.append(shape("rect", { x, width, height: HIGH }));
}
