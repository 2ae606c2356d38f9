/* Fills the bars of one chart from the API: first page, older pages, the tail, and what belongs to them
   (revisions, metrics, the ledger). Knows no elements; tells of changes by callbacks. */

import * as api from "./api.js";
import { BARS_MAX } from "./bars.js";
import { field } from "./layers.js";

const FIRST_BARS = Math.min(600, api.ROWS_MAX), PAGE_BARS = Math.min(1000, api.ROWS_MAX), REACH_MAX = BARS_MAX - 2 * PAGE_BARS, TAIL_BARS = 4, TAIL_MS = 1000, DAY = 86400, LEDGER_DAYS = 92, LEDGER_DAYS_MOST = 3_650, LEDGER_MS = 5000;

export class ChartFeed {
  /** what: {venue, exchange, ticker, interval, hd, metrics() -> those that are on, floor() -> about where the reader's history begins,
      since() -> what is read at once reaches back to there, or null}; bars: Bars; handlers: change("none"|"tail"|"all"),
      ledger({total, holes}), fail(error). */
  constructor(what, bars, handlers) {
    Object.assign(this, { what, bars, handlers });
    this.abort = new AbortController();
    this.paging = this.reached = this.behind = false;
    this.tailAt = 0;
    this.tailTimer = this.ledgerTimer = 0;
    /* Names of metrics whose newest values are in, and of those that could not be read. */
    this.told = new Set();
    this.failing = new Set();
  }

  stop() { this.abort.abort(); clearTimeout(this.tailTimer); clearTimeout(this.ledgerTimer); }

  /** The newest bars; resolves when they are in. Their details follow by themselves. */
  async load() {
    const found = await this.reach(FAR(), FIRST_BARS), past = (this.what.since?.() ?? null) !== null;
    const change = this.bars.merge(found);
    this.reached = true;
    if (this.behind) this.tail();
    /* What is missing takes room: who opens in the past is shown the place once. */
    if (past) await this.ledger();
    this.changed(change);
    if (!found.length) return;
    if (!past) this.ledger();
    this.detail(found[0].t, null).catch((error) => this.failed(error));
  }

  /* So many bars before `to`; where the chart opens in the past, as many as reach back to there. Where those would be too
     many, the ones about that place alone. */
  async reach(to, countback) {
    const since = this.what.since?.() ?? Infinity, pages = [];
    let count = 0, wanted = countback;
    for (;;) {
      const { bars: found } = await api.history({ ...this.what, to: pages[0]?.[0].t ?? to, countback: wanted }, this.abort.signal);
      if (found.length < wanted) this.bars.complete = true;
      if (found.length) pages.unshift(found);
      count += found.length;
      if (this.bars.complete || found[0].t <= since) return pages.flat();
      const newest = pages.at(-1).at(-1).t, pace = (newest - found[0].t) / Math.max(1, count - 1);
      wanted = Math.min(api.HISTORY_MAX, REACH_MAX - count);
      if (wanted <= 0 || count + (found[0].t - since) / pace > REACH_MAX) return this.about(since, newest);
    }
  }

  /* Bars on both sides of a time of long ago, in place of the newest. */
  async about(since, newest) {
    const [{ bars: before }, after] = await Promise.all([api.history({ ...this.what, to: since, countback: PAGE_BARS }, this.abort.signal), this.following(since)]);
    this.bars.clear();
    this.bars.complete = before.length < PAGE_BARS;
    this.bars.newest = newest;
    return [...before, ...after];
  }

  /* The bars that open at `from` and next behind it, a page at most; none where there are none. They are asked for by time:
     of too many the server would tell the newest. */
  async following(from) {
    const least = api.HISTORY_MAX * (this.bars.step || DAY), end = FAR();
    for (let at = from, span = least; at < end;) {
      const { bars: found } = await api.history({ ...this.what, from: at, to: at + span }, this.abort.signal);
      if (found.length >= api.HISTORY_MAX && span > least) { span = least; continue; }
      if (found.length) return found;
      at += span;
      span *= 2;
    }
    return [];
  }

  /** Older bars before the first one; nothing happens while a page is under way or none is left. */
  async older() {
    const { bars } = this;
    if (this.paging || bars.complete || !bars.first) return;
    this.paging = true;
    try {
      const before = bars.first.t;
      const { bars: found } = await api.history({ ...this.what, to: before, countback: PAGE_BARS }, this.abort.signal);
      if (found.length < PAGE_BARS) bars.complete = true;
      const change = bars.merge(found, "older");
      /* That nothing is older is news as well. */
      this.changed(change === "none" && bars.complete ? "tail" : change);
      if (found.length) { await this.detail(found[0].t, before); this.ledger(); }
    } catch (error) { this.failed(error); } finally { this.paging = false; }
  }

  /** Newer bars behind the last one, where they are not held; nothing happens while a page is under way. */
  async newer() {
    const { bars } = this;
    if (this.paging || !bars.newer) return;
    this.paging = true;
    try {
      const found = await this.following(bars.last.t + 1);
      if (!found.length) bars.newest = bars.last.t;
      const change = bars.merge(found, "newer");
      this.changed(found.length ? change : "all");
      if (found.length) { await this.detail(found[0].t, found.at(-1).t + (bars.step || DAY)); this.ledger(); }
      if (!bars.newer) this.tail();
    } catch (error) { this.failed(error); } finally { this.paging = false; }
  }

  /** Fetch the newest bars again soon: at most once a second, however often it is asked. */
  tail() {
    /* Before the first page they would stand there alone. */
    this.behind = !this.reached;
    if (this.tailTimer || this.behind || this.bars.newer) return;
    const wait = Math.max(0, this.tailAt + TAIL_MS - performance.now());
    this.tailTimer = setTimeout(() => this.refresh(), wait);
  }

  async refresh() {
    this.tailAt = performance.now();
    if (this.bars.newer) { this.tailTimer = 0; return; }
    try {
      const last = this.settled ?? this.bars.last?.t ?? 0, { frames } = this.bars;
      let behind = this.bars.list.length;
      while (behind > 0 && this.bars.list[behind - 1].t >= last) behind -= 1;
      const countback = Math.max(TAIL_BARS, this.bars.list.length - behind + TAIL_BARS);
      const { bars: found } = await api.history({ ...this.what, to: FAR(), countback: Math.min(countback, PAGE_BARS) }, this.abort.signal);
      if (this.bars.newer) return;
      if (this.bars.last && found.length && found[0].t > this.bars.last.t) { await this.reload(); return; }
      this.changed(this.bars.merge(this.bars.unheard(found, frames)));
      if (found.length) await this.detail(found[0].t, null);
      this.settled = found.at(-1)?.t;
    } catch (error) { this.failed(error); } finally { this.tailTimer = 0; }
  }

  /* More happened than the tail holds: begin anew from the newest bars. */
  async reload() {
    this.bars.clear();
    await this.load();
  }

  /** Revisions and metrics of bars in [from, to); `to` null: to the end. */
  async detail(from, to) {
    const range = this.range(from, to), found = await Promise.allSettled([this.details(range), this.values(this.what.metrics(), range)]);
    this.abort.signal.throwIfAborted();
    let change = "none";
    for (const { value } of found) if (value) { const c = this.bars.enrich(value); change = c === "none" ? change : change === "all" ? "all" : c; }
    this.changed(change);
    const bad = found.find(({ status, reason }) => status === "rejected" && reason.name !== "AbortError");
    if (bad) this.failed(bad.reason);
  }

  /** Values of metrics for all bars that are there: they were switched on just now. */
  async metrics(metrics) {
    if (!this.bars.first) return;
    for (const { name } of metrics) this.told.delete(name);
    try {
      const found = await this.values(metrics, this.range(this.bars.first.t, null));
      const change = this.bars.enrich(found);
      this.handlers.change(change === "none" ? "tail" : change);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.handlers.change("tail");
      this.failed(error);
    }
  }

  range(from, to) {
    const { what: { venue, ticker }, bars } = this;
    /* A long bar's key is midnight UTC of its first day; its opening lies within a day of that. Where the reader's
       history begins about there, everything from its beginning on is asked for. */
    const opening = bars.step ? bars.beginning(from) : from - DAY, floor = this.what.floor?.() ?? -Infinity;
    return { venue, ticker, tf: bars.tf, from: bars.step || opening > floor ? opening : null, to: to && bars.beginning(to) };
  }

  async details(range) {
    const { frames } = this.bars, rows = await api.details(range, this.abort.signal), minutes = this.bars.tf === "1m";
    const withHd = this.what.hd && !(minutes && this.what.metrics().some(({ name }) => name === "hd"));
    /* A longer bar's rev counts its minutes as they come in: nothing to tell a reader of. */
    const revision = ({ rev }) => (minutes ? { rev } : {});
    const found = new Map();
    for (const row of rows) {
      const t = this.bars.countsTo(this.bars.key(row.at));
      found.set(t, { t, ...revision(row), ...(withHd ? { [field("hd")]: row.hd } : {}) });
    }
    return this.bars.unheard([...found.values()], frames);
  }

  /* All in one question: what is computed of longer bars is computed from the first bar on. */
  async values(metrics, range) {
    const names = metrics.map(({ name }) => name);
    if (!names.length) return [];
    try {
      const rows = await api.metrics({ ...range, names }, this.abort.signal);
      for (const name of names) { this.told.add(name); this.failing.delete(name); }
      return rows.map((row) => this.row(row, metrics));
    } catch (error) {
      if (error.name !== "AbortError") for (const name of names) this.failing.add(name);
      throw error;
    }
  }

  /** What the chart keeps of a row of metrics {at, rev, ...columns}. */
  row(row, metrics) {
    const { bars } = this, out = { t: bars.key(row.at) };
    if (bars.tf === "1m") out.mrev = row.rev;
    for (const { outputs } of metrics) for (const { column } of outputs) out[field(column)] = row[column];
    return out;
  }

  /** The ledger of what is shown; of its last three months where it is longer, and from where the chart opened;
      of ten years at most: the server tells no more at once. */
  async ledger() {
    const { first, last, step, time } = this.bars;
    if (!first) return;
    try {
      const from = step ? first.t : first.t - time.offset(first.t), to = last.t + (step || DAY);
      const recent = Math.min(to - LEDGER_DAYS * DAY, this.what.since?.() ?? Infinity);
      this.handlers.ledger(await api.continuity({ ...this.what, from: Math.max(from, recent, to - LEDGER_DAYS_MOST * DAY), to }, this.abort.signal));
    } catch (error) { this.failed(error); }
  }

  /** Fetch the ledger again within some seconds: minutes have closed. */
  ledgerSoon() { this.ledgerTimer ||= setTimeout(() => { this.ledgerTimer = 0; this.ledger(); }, LEDGER_MS); }

  changed(change) { if (change !== "none") this.handlers.change(change); }

  failed(error) { if (error.name !== "AbortError") this.handlers.fail(error); }
}

/* Later than any bar: a venue's clock may run ahead of ours. */
const FAR = () => Math.floor(Date.now() / 1000) + 370 * DAY;
