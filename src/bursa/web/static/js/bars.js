/* The bars of one chart: merged from history, details and live frames; laid out in slots together with
   what is missing between them. Pure: no network, no elements. Times are seconds; `t` is a bar's key as
   /udf/history names it, `x` its place on the scale (the venue's wall clock). */

import { dayOf } from "./clock.js";

/** So many are kept at once. Who goes on into the past lets newer ones go, and gets them back on his way forward. */
export const BARS_MAX = 40_000;
const DAY = 86400, EARLY_MAX = 1000;

/** Interval of the address -> how the chart treats it. `step`: seconds, 0 where days and more count. */
export const INTERVALS = {
  1: { tf: "1m", step: 60 }, 5: { tf: "5m", step: 300 }, 15: { tf: "15m", step: 900 }, 30: { tf: "30m", step: 1800 },
  60: { tf: "1h", step: 3600 }, 240: { tf: "4h", step: 14400 },
  D: { tf: "1d", step: 0 }, W: { tf: "1w", step: 0 }, M: { tf: "1M", step: 0 },
};
/* Bars so long that a day has but a few: a line that broke at each day would fall into bits. */
const LONG_STEP = INTERVALS[240].step;

export class Bars {
  /** time: VenueTime, sessions: Sessions, interval: a key of INTERVALS. */
  constructor(time, sessions, interval) {
    Object.assign(this, { time, sessions, interval, ...INTERVALS[interval] });
    this.list = [];
    this.byKey = new Map();
    this.holes = [];
    this.backfilled = [];
    this.pending = null;
    this.complete = false;
    this.newest = -Infinity;
    this.moved = false;
    this.frames = 0;
    this.early = new Map();
  }

  /** Are there bars behind the last one that are not held? Live ones have no place then. */
  get newer() { return this.list.length > 0 && this.newest > this.last.t; }

  get first() { return this.list[0]; }
  get last() { return this.list.at(-1); }

  /** A bar's key for the UTC second it opens at: long bars are keyed by 00:00 UTC of their first day. */
  key(utcS) { return this.step ? utcS : dayOf(this.time.local(utcS)) * DAY; }

  place(key) { return this.step ? this.time.local(key) : key; }

  /** Take bars {t, o, h, l, c, v, ...}; fields that a newcomer lacks stay. page: "older" or "newer", if they are the next
      ones on that side; what is too many goes on the other. Answers what changed: "none", "tail" (only the last two, or
      a new last one), "all". */
  merge(bars, page = "") {
    const edge = page !== "newer" && this.newer ? this.last.t : Infinity;
    let change = "none", sorted = true;
    for (const bar of bars) {
      if (bar.t > this.newest) this.newest = bar.t;
      if (bar.t > edge) continue;
      const known = this.byKey.get(bar.t);
      if (known) {
        if (!differs(known, bar)) continue;
        Object.assign(known, bar);
        change = worse(change, known === this.last || known === this.list.at(-2) ? "tail" : "all");
        continue;
      }
      const fresh = { ...this.early.get(bar.t), ...bar, x: this.place(bar.t) };
      this.early.delete(bar.t);
      const isNext = this.list.length > 0 && bar.t > this.last.t;
      change = worse(change, isNext ? "tail" : "all");
      sorted &&= isNext;
      this.byKey.set(bar.t, fresh);
      this.list.push(fresh);
    }
    if (!sorted) this.list.sort((a, b) => a.t - b.t);
    if (page === "newer" && change !== "none") this.moved = true;
    if (this.list.length > BARS_MAX) change = this.trim(page === "older");
    return change;
  }

  /** Take a live one. Answers as `merge` does. */
  hear(bar) {
    const change = this.merge([bar]), known = this.byKey.get(bar.t);
    this.frames += 1;
    if (known) known.heard = this.frames;
    return change;
  }

  /** Those of an answer that was asked for when there had been so many `frames`: not the ones that were heard of
      since. It may have been read before, and live bars come without gaps. */
  unheard(rows, frames) { return rows.filter(({ t }) => !(this.byKey.get(t)?.heard > frames)); }

  clear() { this.list = []; this.byKey.clear(); this.early.clear(); this.complete = false; this.newest = -Infinity; }

  /* `moved`: what is in view has other numbers now, counted from either end, or from one: of many newer ones the library
     makes a jump. */
  trim(newest) {
    const many = this.list.length - BARS_MAX + 1000, gone = newest ? this.list.splice(-many) : this.list.splice(0, many);
    for (const bar of gone) this.byKey.delete(bar.t);
    if (newest) this.pending = null; else this.complete = false;
    this.moved = true;
    return "all";
  }

  /** /udf/history counts what trades before the first session opens to the session's first bar; a live
      minute from then cannot simply be put beside it. */
  isAuction(utcS) {
    const { second, opening } = this.opening(utcS);
    return second < opening + 60;
  }

  /** The bar that a minute counts to. */
  countsTo(utcS) {
    const { second, opening } = this.opening(utcS);
    return utcS + Math.max(0, opening - second);
  }

  /** The first second of which anything can count to the bar of that key. */
  beginning(key) {
    const { second, opening } = this.opening(key);
    return second === opening ? key - second : key;
  }

  /* Where bars have no auction, none is before the opening. */
  opening(utcS) {
    if (this.sessions.always || this.tf !== "1m") return { second: 0, opening: -60 };
    const local = this.time.local(utcS), [opening] = this.sessions.of(local)[0] ?? [-60];
    return { second: local - dayOf(local) * DAY, opening };
  }

  /** Does a UTC second lie in the bar of that key? */
  within(utcS, key) {
    if (this.step) return utcS >= key && utcS < key + this.step;
    const today = dayOf(this.time.local(utcS)), its = dayOf(key);
    if (this.tf === "1d") return today === its;
    if (this.tf === "1w") return Math.floor((today + 3) / 7) === Math.floor((its + 3) / 7); /* 1970 began on a Thursday */
    return new Date(today * DAY * 1000).getUTCMonth() === new Date(its * DAY * 1000).getUTCMonth() && today >= its;
  }

  /** Add fields to bars that are there. Those of bars to come (in a catch-up metrics may overtake their
      bars) wait for them; others are passed over, as are metrics (`mrev`: their revision) older than those held.
    Answers as `merge` does. */
  enrich(rows) {
    for (const row of rows) if (!this.newer && !this.byKey.has(row.t) && row.t > (this.last?.t ?? 0)) this.early.set(row.t, { ...this.early.get(row.t), ...row });
    for (const t of this.early.keys()) { if (this.early.size <= EARLY_MAX) break; this.early.delete(t); }
    /* An answer that was read before a revision came may arrive after it. */
    return this.merge(rows.filter((row) => this.byKey.has(row.t) && !(this.byKey.get(row.t).mrev > row.mrev)));
  }

  /** Missing ranges [{from, to, kind, ...}] and those that came afterwards [{from, to}], in UTC seconds, ascending. */
  setHoles(holes, backfilled = []) { Object.assign(this, { holes, backfilled }); }

  /** Nothing came since `since` and the venue's clock shows `now` (UTC seconds, `since` null: unknown): what
      lies between is not received yet. null: all is. Answers whether that changed any slot. */
  setPending(cut) {
    const { last, pending: before } = this;
    this.pending = null;
    if (cut && last && !this.newer && cut.now > last.t) {
      const open = this.step ? last.t + this.step > (cut.since ?? cut.now) : this.within(cut.since ?? cut.now, last.t);
      /* What was heard to be without trades before the cut is not missing. */
      const heard = this.time.local(cut.since ?? last.t) - this.step + 1, end = this.time.local(last.t) + this.step;
      const ahead = this.step ? this.sessions.slots(Math.max(heard, end), this.time.local(cut.now), this.step) : [];
      if (open || ahead.length) this.pending = { from: Math.max(last.t, cut.since ?? last.t), to: cut.now, pending: true, of: last.t, open, ahead };
    }
    const key = (p) => p && [p.of, p.open, p.ahead.length].join();
    return key(before) !== key(this.pending);
  }

  /** Bars and empty slots in time order: [{x, bar|null, hole|null, late, first, noon, cut}]; `hole` of a bar says
      that a part of it is missing, `late` that it, or a part of it, was backfilled, `cut` that lines break before
      it. A confirmed-empty minute has no slot. */
  slots() {
    const out = this.list.map((bar) => ({ x: bar.x, bar, hole: null, first: false, noon: false }));
    if (this.step && this.holes.length && out.length) this.addMissing(out);
    this.markParts(out);
    this.addPending(out);
    for (let i = 0; i < out.length; i++) this.markBreaks(out, i);
    return out;
  }

  /** Bring slots up to date after a "tail" change without making them anew: "same" where bars of the last
      two slots changed, "added" where one was put behind them, "no" where more is needed. */
  grow(slots) {
    const { last } = this, end = slots.at(-1);
    if (!end || !last) return "no";
    if (end.bar === last) return "same";
    if (last.x <= end.x || this.list.at(-2) !== end.bar) return "no";
    slots.push({ x: last.x, bar: last, hole: null, first: false, noon: false });
    this.markBreaks(slots, slots.length - 1);
    return "added";
  }

  addMissing(out) {
    const taken = new Set(out.map((slot) => slot.x)), start = out[0].x;
    let added = false;
    for (const hole of this.holes) {
      const from = this.time.local(hole.from), to = this.time.local(hole.to);
      for (const x of this.sessions.slots(Math.max(from, start), to, this.step)) {
        if (taken.has(x)) continue;
        taken.add(x);
        out.push({ x, bar: null, hole, first: false, noon: false });
        added = true;
      }
    }
    if (added) out.sort((a, b) => a.x - b.x);
  }

  addPending(out) {
    const { pending, last } = this;
    if (!pending) return;
    if (pending.open) out.findLast((slot) => slot.bar === last).hole = pending;
    const end = out.at(-1).x;
    for (const x of pending.ahead) if (x > end) out.push({ x, bar: null, hole: pending, first: false, noon: false });
  }

  markParts(out) {
    const each = ({ from, to }, act) => {
      const first = this.time.local(from), last = this.time.local(to);
      for (let i = lower(out, first - (this.step || DAY) + 1); i < out.length && out[i].x < last; i++) act(out[i]);
    };
    for (const hole of this.holes) each(hole, (slot) => { slot.hole ??= hole; });
    for (const range of this.backfilled) each(range, (slot) => { if (slot.bar) slot.late = true; });
  }

  markBreaks(out, i) {
    if (!this.step || i === 0) return;
    const slot = out[i], before = out[i - 1];
    slot.first = dayOf(slot.x) !== dayOf(before.x);
    slot.cut = slot.first && this.step < LONG_STEP;
    slot.noon = !slot.first && this.sessions.index(slot.x) !== this.sessions.index(before.x);
  }
}

const worse = (a, b) => (a === "all" || b === "all" ? "all" : a === "tail" || b === "tail" ? "tail" : "none");
const differs = (known, bar) => Object.keys(bar).some((name) => known[name] !== bar[name] && bar[name] !== undefined);

function lower(slots, x) {
  let from = 0, to = slots.length;
  while (from < to) { const mid = (from + to) >> 1; if (slots[mid].x < x) from = mid + 1; else to = mid; }
  return from;
}

/** What the primitives of marks.js draw, from slots: {days, noons, holes, late, strip}. `name(hole)` gives
    {label, short} of a hole. */
export function marksOf(slots, name) {
  const marks = { days: [], noons: [], holes: [], late: [], strip: [] };
  slots.forEach((slot, i) => mark(marks, slot, i, name));
  return marks;
}

/** Enter the slot of number `i` behind the others. */
export function mark({ days, noons, holes, late, strip }, slot, i, name) {
  if (slot.first) days.push(i);
  if (slot.noon) noons.push(i);
  if (!slot.bar || slot.hole?.pending || slot.hole?.part) extend(holes, i, slot.hole, () => ({ hole: slot.hole, from: i, to: i, ...name(slot.hole) }));
  if (slot.late && !slot.hole) extend(late, i, "late", () => ({ hole: "late", from: i, to: i }));
  const kind = !slot.bar ? "missing" : slot.hole ? "part" : slot.late ? "backfilled" : "received";
  extend(strip, i, kind, () => ({ kind, hole: kind, from: i, to: i }));
}

function extend(list, i, what, make) {
  const last = list.at(-1);
  if (last && last.to === i - 1 && last.hole === what) last.to = i;
  else list.push(make());
}
