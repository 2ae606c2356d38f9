/* Which bars the table beside a chart lists, and where the bars of a chart end, in words. Pure: no network, no elements. */

import { clockMinutes, day, dayYear } from "./format.js";

export const ROWS = 60;
const ROWS_MOST = 500;

/** Rows of the table: {end, rows, newest}, number of the slot that stands first and how many at most. Those of the named
    place while some of it is in view, else those up to what is in view, or up to the newest. range: {from, to} in numbers
    of slots, null where nothing is drawn yet; last: number of the newest bar's slot; placed: {from, to}, places on the scale
    of the first and the last slot that the address names, or null. */
export function listed(slots, range, last, placed) {
  if (placed && range) {
    const first = slots.findIndex(({ x }) => x >= placed.from), end = slots.findLastIndex(({ x }) => x <= placed.to);
    if (first >= 0 && first <= end && first <= range.to && end >= range.from) return { end, rows: Math.min(ROWS_MOST, Math.max(ROWS, end - first + 1)), newest: end >= last };
  }
  const end = range ? Math.max(0, Math.min(last, Math.floor(range.to))) : last;
  return { end, rows: ROWS, newest: end >= last };
}

/** What stands over the table. newest: are they the newest of all? */
export function heading(slot, newest, long) {
  if (newest || !slot) return "newest first";
  return `to ${long ? dayYear(slot.x).slice(4) : `${day(slot.x)} ${clockMinutes(slot.x)}`}, newest first`;
}

/** Where a chart begins, once there is nothing older to read; "" else. days: of history that the reader may see, 0 for all. */
export function beginning({ complete, first, step }, days) {
  if (!complete || !first) return "";
  return `begins ${dayYear(first.x)}${step ? ` ${clockMinutes(first.x)}` : ""}: ${days ? `your tier shows ${days} days` : "nothing older is stored"}`;
}
