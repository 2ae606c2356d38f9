/* Where on its scale of time a chart opens: a day or a moment that the address names. Pure: no network, no elements. */

/** What the page tells of it: {from, to} in UTC seconds, of a moment both the same; null where none is named. */
export const placeOf = ({ from, until }) => (from ? { from: Number(from), to: Number(until) } : null);

/** Which slots lie there: {first, last}, numbers of slots; where there are none, the next one twice. "before" and
    "after" where it lies before all of them, or behind. bars: the Bars of these slots. */
export function find(slots, place, bars) {
  const from = bars.time.local(place.from), to = bars.time.local(place.to);
  let first = slots.findIndex(({ x }) => x >= from);
  if (first < 0) first = slots.length;
  /* A bar that opened before may have the moment in it. */
  if (first > 0 && slots[first]?.x !== from && holds(slots[first - 1], place.from, bars)) first -= 1;
  if (first === slots.length) return "after";
  if (first === 0 && slots[0].x >= to && slots[0].x > from) return "before";
  let last = first;
  while (last + 1 < slots.length && slots[last + 1].x < to) last += 1;
  return { first, last };
}

/** Why the newest bars are shown instead. days: of history that the reader may see; 0 for all. */
export function elsewhere(found, ticker, tf, when, days) {
  if (found === "after") return `${ticker} has no ${tf} bars of ${when} yet.`;
  return `${ticker} has no ${tf} bars as old as ${when}${days ? ` in the ${days} days that your tier shows` : ""}.`;
}

const holds = ({ x, bar }, utcS, bars) => (bar ? bars.within(utcS, bar.t) : bars.time.local(utcS) < x + bars.step);
