/* The large course of the day: the headline's values over trading time, the previous close dashed, breaks as a
   dotted line, what is missing hatched. Positions are shares of the box, so that it fits any size by itself. */

import { shape } from "./dom.js";
import { clockMinutes, direction, fixed } from "./format.js";

const MINUTE = 60_000, HOUR = 60 * MINUTE, NARROW = 8, TOP = 0.04, FOOT = 0.05, MIDDLE = 0.5, UNITS = 1000;
/* Two instants of trading time nearer than this are the same. */
const NEXT = 1e-6;

/** Steps of 1, 2, 2.5 or 5 times a power of ten inside (low, high), about `count` of them. */
export function rungs(low, high, count) {
  if (!(high > low)) return [];
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((n) => n * power >= raw) * power;
  const out = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) out.push(n * step);
  return out;
}

/** Decimals that tell rungs of that step apart: 1 for 2.5, 0 for 25. */
export function places(step) {
  for (let decimals = 0; decimals < 9; decimals++) {
    const units = step * 10 ** decimals;
    if (Math.round(units) >= 1 && Math.abs(units - Math.round(units)) < 1e-6) return decimals;
  }
  return 9;
}

/** Where an instant lies in the trading time of a day, 0 to 1; `trading`: its stretches [[from, to], ...]. */
export function position(trading, ms) {
  const whole = trading.reduce((sum, [from, to]) => sum + to - from, 0);
  const before = trading.reduce((sum, [from, to]) => sum + Math.min(Math.max(ms - from, 0), to - from), 0);
  return whole ? before / whole : 0;
}

/** Instants that are named under the plot: each stretch's opening and the hours after it, none too near the
    one before. `share`: least distance, as a share of the width. */
export function hours(trading, share) {
  const whole = trading.reduce((sum, [from, to]) => sum + to - from, 0), step = whole > 16 * HOUR ? 3 * HOUR : HOUR;
  const out = [];
  for (const [from, to] of trading) {
    for (let ms = from; ms < to; ms += step) if (!out.length || position(trading, ms) - position(trading, out.at(-1)) >= share) out.push(ms);
  }
  return out;
}

/** The values as pieces without a hole, [[{x, v}, ...], ...]: x as of the end of each minute. A piece ends where
    the next value is not of the next minute of trading. */
export function pieces(head, trading) {
  const out = [];
  let end = NaN;
  head.minutes.forEach((minute, i) => {
    const ms = head.from + minute * MINUTE;
    if (!(position(trading, ms) - end < NEXT)) out.push([]);
    end = position(trading, ms + MINUTE);
    out.at(-1).push({ x: end, v: head.values[i] });
  });
  return out;
}

const percentOf = (share) => (share * 100).toFixed(2) + "%";
const line = (className, x1, x2, y1, y2) => shape("line", { class: className, x1: percentOf(x1), x2: percentOf(x2), y1: percentOf(y1), y2: percentOf(y2) });

/* Where trading pauses within the day. */
function breaks(trading) {
  const ends = trading.slice(0, -1).flatMap(([, to], i) => (trading[i + 1][0] > to ? [position(trading, to)] : []));
  return ends.map((x) => line("op-break", x, x, 0, 1));
}

export class DayPlot {
  /** area, axis, foot: the svgs of the plot, its prices, its times. */
  constructor({ box, area, axis, foot }) { Object.assign(this, { box, area, axis, foot }); }

  /** Draw a body of /web/overview. Nothing happens where nothing changed. */
  draw({ headline: head, trading, offset_s: offset }) {
    const state = JSON.stringify([head, trading, document.documentElement.dataset.numbers]);
    if (state === this.state) return;
    this.state = state;
    if (!head || !trading.length) { for (const svg of [this.area, this.axis, this.foot]) svg.replaceChildren(); return; }
    this.foot.replaceChildren(...hours(trading, 0.1).map((ms) => shape("text", { x: percentOf(position(trading, ms)), y: 14 }, clockMinutes(ms / 1000 + offset))));
    this.box.toggleAttribute("data-wide", [head.value, head.prev].some((v) => v !== null && fixed(v, head.decimals).length > NARROW));
    if (!head.values.length) { this.before(head, trading, offset); return; }
    const all = head.prev === null ? head.values : [...head.values, head.prev];
    const low = Math.min(...all), high = Math.max(...all), pad = (high - low || Math.abs(high) * 0.001 || 1) * 0.06;
    const y = (v) => TOP + (1 - (v - (low - pad)) / (high - low + 2 * pad)) * (1 - TOP - FOOT);
    const last = head.values.at(-1), way = direction(head.prev === null ? null : last - head.prev, head.decimals).slice(2);
    this.area.replaceChildren(...this.areaShapes({ head, trading, y, last, way, low: low - pad, high: high + pad }));
    this.axis.replaceChildren(...axisShapes({ head, y, last, way, low: low - pad, high: high + pad }));
    this.box.setAttribute("aria-label", describe(head, offset));
  }

  /* No minute of trading yet: the frame of the day to come, with the previous close. */
  before(head, trading, offset) {
    const words = `The day's course begins with trading at ${clockMinutes(trading[0][0] / 1000 + offset)}`;
    const out = breaks(trading);
    if (head.prev !== null) out.push(line("op-prev", 0, 1, MIDDLE, MIDDLE));
    out.push(shape("text", { x: "50%", y: percentOf(MIDDLE), dy: -12, class: "op-none" }, words));
    this.area.replaceChildren(...out);
    this.axis.replaceChildren(...(head.prev === null ? [] : [shape("text", { x: 8, y: percentOf(MIDDLE), class: "op-at" }, fixed(head.prev, head.decimals))]));
    this.box.setAttribute("aria-label", `${head.name}: ${words}.`);
  }

  areaShapes({ head, trading, y, last, way, low, high }) {
    const out = [...rungs(low, high, 4).map((v) => line("op-rung", 0, 1, y(v), y(v))), ...breaks(trading)];
    for (const [from, to] of head.lost) {
      const x = position(trading, from), width = Math.max(position(trading, to) - x, 0.002);
      for (const name of ["tp-gapw", "tp-gap"]) out.push(shape("rect", { class: name, x: percentOf(x), width: percentOf(width), height: "100%" }));
    }
    const curves = shape("svg", { viewBox: `0 0 ${UNITS} ${UNITS}`, preserveAspectRatio: "none", width: "100%", height: "100%", class: `b-${way}` });
    const floor = head.prev === null ? 1 : y(head.prev), unit = (share) => (share * UNITS).toFixed(1);
    for (const piece of pieces(head, trading)) {
      const path = piece.map(({ x, v }, i) => `${i ? "L" : "M"}${unit(x)} ${unit(y(v))}`).join("");
      curves.append(shape("path", { class: "op-fill", d: `${path}V${unit(floor)}H${unit(piece[0].x)}Z` }), shape("path", { class: "op-line", d: piece.length > 1 ? path : `${path}h0.1` }));
    }
    out.push(curves);
    if (head.prev !== null) out.push(line("op-prev", 0, 1, floor, floor));
    const x = position(trading, head.from + (head.minutes.at(-1) + 1) * MINUTE);
    out.push(line(`op-last b-${way}`, x, 1, y(last), y(last)), shape("circle", { class: `op-dot b-${way}`, cx: percentOf(x), cy: percentOf(y(last)), r: 3 }));
    return out;
  }
}

/* Prices at the right: rungs, the previous close, the last value on its own ground; what would lie on one
   another gives way, the last value never. */
function axisShapes({ head, y, last, way, low, high }) {
  const out = [], taken = [y(last)], free = (at) => taken.every((other) => Math.abs(other - at) > 0.075);
  const label = (v, decimals, name) => { if (free(y(v))) { taken.push(y(v)); out.push(shape("text", { x: 8, y: percentOf(y(v)), class: name }, fixed(v, decimals))); } };
  if (head.prev !== null) label(head.prev, head.decimals, "op-at");
  const scale = rungs(low, high, 4), step = scale.length > 1 ? scale[1] - scale[0] : 1;
  const decimals = Math.min(head.decimals, places(step));
  for (const v of scale) label(v, decimals, "op-at");
  const at = percentOf(y(last));
  const chip = shape("svg", { y: at, overflow: "visible" });
  chip.append(shape("rect", { class: `op-chip b-${way}`, y: -9, width: "100%", height: 18 }), shape("text", { x: 8, class: "op-now" }, fixed(last, head.decimals)));
  out.push(chip);
  return out;
}

function describe(head, offset) {
  const hm = (ms) => clockMinutes(ms / 1000 + offset);
  const parts = [`${head.name}: ${fixed(head.value, head.decimals)}`];
  if (head.prev !== null) parts[0] += ` against its previous close of ${fixed(head.prev, head.decimals)}`;
  parts.push(`Lowest ${fixed(Math.min(...head.values), head.decimals)}, highest ${fixed(Math.max(...head.values), head.decimals)}`);
  if (head.lost.length) parts.push(`No data ${head.lost.map(([from, to]) => `${hm(from)} to ${hm(to)}`).join(", ")}`);
  return parts.join(". ") + ".";
}
