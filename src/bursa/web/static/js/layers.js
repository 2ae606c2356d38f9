/* The metrics of a chart as series of lightweight-charts: lines over the prices, panes of their own with
   lines, histograms, guides and marks of direction. Each layer is one output. Holds no data of its own. */

import { HistogramSeries } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { token, wash } from "./display.js";
import { DIRECTION, writer } from "./indicators.js";
import { BrokenLine, DirectionMarks, MARKS_PX } from "./lines.js";
import { AxisNames } from "./marks.js";

const DOTTED = 1, LARGE_DASHED = 3, DASH = [4, 3], DOT = [1.5, 3];
/* What tells lines over the prices apart: a colour and a dash, in the order they were switched on. */
const OVER = [
  ["nila", []], ["sogan", []], ["muted", [6, 3]], ["text", []], ["nila", DOT], ["muted", []], ["sogan", DOT], ["text", DOT],
];
/* Those of one pane, by their order in it. */
const LINES = [["muted", [], 1.4], ["nila", DASH, 1.2], ["sogan", [], 1.2], ["faint", DOT, 1.2]];
const SIGNED = [["sogan", [], 1.6], ["muted", DASH, 1], ["nila", DOT, 1.2], ["faint", DOT, 1]];

/** The field of a bar that holds an output. */
export const field = (column) => `m:${column}`;

/** How a line is drawn, for its swatch: {color: token name, dash}. */
function lineStyle(metric, place, nth) {
  if (metric.overlay) { const [color, dash] = OVER[place % OVER.length]; return { color, dash: nth % 2 ? DASH : dash, width: metric.outputs.length > 1 ? 1 : 1.25 }; }
  const [color, dash, width] = (hasDirection(metric) ? SIGNED : LINES)[nth % LINES.length];
  return { color, dash, width };
}

const hasDirection = ({ outputs }) => outputs.some(({ draw }) => draw === "direction");
const directionOf = ({ outputs }) => outputs.find(({ name }) => name === DIRECTION);

/** Layers of a metric: over the prices (pane 0) or in a pane. `place`: which line over the prices it is. */
export function layersOf(chart, metric, pane, place, facts) {
  let lines = 0;
  return metric.outputs.map((output, at) => {
    const write = writer(output, facts, metric.overlay), base = { metric, output, key: field(output.column), write };
    if (output.draw === "histogram") return histogram(chart, pane, base);
    if (output.draw === "none") return hasDirection(metric) && output === directionOf(metric) ? direction(chart, pane, base) : { ...base, series: null, style: null, recolor: () => {} };
    /* A sum over a day beside single bars: each on a scale of its own. */
    const apart = at > 0 && metric.outputs[0].draw === "histogram";
    return line(chart, pane, base, lineStyle(metric, place, lines++), apart);
  });
}

const custom = (write, minMove) => ({ priceFormat: { type: "custom", formatter: write, minMove } });

function line(chart, pane, base, style, apart) {
  const { metric, output, key, write } = base, first = metric.outputs[0] === output && !metric.overlay;
  const filled = output.draw === "direction";
  const series = chart.addCustomSeries(new BrokenLine(), {
    ...custom(write, 1e-8), width: style.width, dash: style.dash, lastValueVisible: filled, priceScaleId: apart ? "apart" : "right",
    ...(first ? guided(metric) : {}),
  }, pane);
  if (apart) series.priceScale().applyOptions({ scaleMargins: { top: 0.22, bottom: 0.08 } });
  const lean = filled && directionOf(metric) ? field(directionOf(metric).column) : null;
  const item = ({ x: time, bar, cut }) => {
    const value = bar?.[key];
    return value === null || value === undefined ? { time } : { time, value, cut, lean: lean ? bar[lean] : undefined };
  };
  const zero = filled ? zeroLine(series) : null, guides = first ? guideLines(series, metric) : null;
  const recolor = () => {
    series.applyOptions({ color: token(style.color), fill: filled ? wash(style.color, 0.12) : "", tints: filled ? [wash("down", 0.26), wash("flat", 0.26), wash("up", 0.26)] : null });
    zero?.applyOptions({ color: token("edge") });
    guides?.recolor();
  };
  return { ...base, series, style, item, recolor };
}

function histogram(chart, pane, base) {
  const { metric, output, key, write } = base, first = metric.outputs[0] === output;
  const series = chart.addSeries(HistogramSeries, { ...custom(write, 1e-8), base: 0, lastValueVisible: false, priceLineVisible: false, ...(first ? guided(metric) : {}) }, pane);
  const zero = zeroLine(series), guides = first ? guideLines(series, metric) : null;
  let colors = {};
  const item = ({ x: time, bar }) => {
    const value = bar?.[key];
    return value === null || value === undefined ? { time } : { time, value, color: value < 0 ? colors.down : colors.up };
  };
  const recolor = () => {
    colors = { up: wash("up", 0.6), down: wash("down", 0.6) };
    zero.applyOptions({ color: token("edge") });
    guides?.recolor();
  };
  return { ...base, series, style: null, item, recolor };
}

function direction(chart, pane, base) {
  const { key, write } = base;
  const series = chart.addCustomSeries(new DirectionMarks(), { ...custom(write, 1), priceScaleId: "direction", lastValueVisible: false, priceLineVisible: false }, pane);
  const item = ({ x: time, bar }) => {
    const value = bar?.[key];
    return value === null || value === undefined ? { time } : { time, value };
  };
  const recolor = () => series.applyOptions({ color: token("flat"), colors: [token("down"), token("flat"), token("up")] });
  return { ...base, series, style: null, item, recolor };
}

const zeroLine = (series) => series.createPriceLine({ price: 0, axisLabelVisible: false, lineWidth: 1, lineStyle: DOTTED });

/* Guides are in view always, so that they stand still while the line stays between them; two and more are all that the
   axis of their pane names. */
function guided({ guides }) {
  if (!guides.length) return {};
  const least = Math.min(...guides), most = Math.max(...guides), room = (most - least) / 4;
  const autoscaleInfoProvider = (own) => {
    const found = own()?.priceRange ?? { minValue: least, maxValue: most };
    return { priceRange: { minValue: Math.min(least - room, found.minValue), maxValue: Math.max(most + room, found.maxValue) } };
  };
  return { autoscaleInfoProvider, ...(guides.length > 1 ? { priceFormat: { type: "custom", formatter: plainGuide, tickmarksFormatter: (marks) => marks.map(() => ""), minMove: 0.01 } } : {}) };
}

const plainGuide = (v) => String(Math.round(v * 10) / 10);

function guideLines(series, { guides }) {
  if (!guides.length) return null;
  const lines = guides.map((price) => series.createPriceLine({ price, axisLabelVisible: false, lineWidth: 1, lineStyle: LARGE_DASHED }));
  const names = guides.length > 1 ? new AxisNames(guides, plainGuide) : null;
  if (names) series.attachPrimitive(names);
  return { recolor: () => { for (const guide of lines) guide.applyOptions({ color: token("line-2") }); names?.recolor(); } };
}

/** Room that a pane leaves under its lines, in pixels: for the marks of direction. */
export const footOf = (metric) => (hasDirection(metric) ? MARKS_PX : 0);
