/* Which figures of a chart's bars are shown beside it: the newest of each metric where the open bar has none yet, and why
   there is none. Pure: no network, no elements. */

import { silence } from "./indicators.js";
import { field } from "./layers.js";

const HD = field("hd"), LATELY = 4;

/* The last few bars up to a slot, newest first. */
const newestBars = (slots, at) => slots.slice(Math.max(0, at - LATELY), at + 1).map(({ bar }) => bar).filter(Boolean).reverse();

function lately(slots, at, keys) {
  const bars = newestBars(slots, at), has = (key) => (bar) => bar[key] !== undefined;
  const found = bars.find((bar) => keys.every((key) => has(key)(bar))) ?? bars.find((bar) => keys.some((key) => has(key)(bar)));
  return found ? Object.fromEntries(keys.map((key) => [key, found[key]])) : {};
}

/** The open bar has no metrics yet, or of HD the value alone: beside it stand those of the newest bar that has all outputs
    of one, so that they belong together; where none has, of the newest that has some. */
export const latest = (slots, at, metrics) => Object.assign({}, ...metrics.map(({ outputs }) => lately(slots, at, outputs.map(({ column }) => field(column)))));

/** HD is null on a minute that is open still: the quote shows that of the minute before. */
export const latestHd = (slots, at) => newestBars(slots, at).find((bar) => (bar[HD] ?? null) !== null)?.[HD] ?? null;

/** Why a metric has no figure at a bar; "" while its figures are still on their way. open: is the bar? */
export function silent(metric, bar, open, bars, feed) {
  if (feed.told.has(metric.name)) {
    const number = bars.list.findIndex(({ t }) => t === bar.t) + (open ? 0 : 1), keys = metric.outputs.map(({ column }) => field(column));
    const any = bars.list.findLast((one) => keys.some((key) => (one[key] ?? null) !== null)) !== undefined;
    return silence(metric, { tf: bars.tf, number, known: bars.complete, any });
  }
  return feed.failing.has(metric.name) ? "not read, tried again with the next bar" : "";
}
