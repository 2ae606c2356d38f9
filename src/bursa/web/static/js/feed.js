/* Fills the bars of one chart from the API: first page, older pages, the tail, and what belongs to them
   (revisions, value, metrics, the ledger). Knows no elements; tells of changes by callbacks. */

import * as api from "./api.js";
import { setVwap } from "./bars.js";

const FIRST_BARS = 600, PAGE_BARS = 1000, TAIL_BARS = 4, TAIL_MS = 1000, DAY = 86400, LEDGER_DAYS = 92, LEDGER_MS = 5000;

export class ChartFeed {
  /** what: {venue, exchange, ticker, interval, hd}; bars: Bars; handlers: change("none"|"tail"|"all"),
      ledger({total, holes}), fail(error). */
  constructor(what, bars, handlers) {
    Object.assign(this, { what, bars, handlers });
    this.abort = new AbortController();
    this.paging = false;
    this.tailAt = 0;
    this.tailTimer = this.ledgerTimer = 0;
    this.refused = new Set();
  }

  stop() { this.abort.abort(); clearTimeout(this.tailTimer); clearTimeout(this.ledgerTimer); }

  /** The newest bars; resolves when they are in. Their details follow by themselves. */
  async load() {
    const { bars: found } = await api.history({ ...this.what, to: FAR(), countback: FIRST_BARS }, this.abort.signal);
    if (found.length < FIRST_BARS) this.bars.complete = true;
    this.changed(this.bars.merge(found));
    if (!found.length) return;
    this.ledger();
    this.detail(found[0].t, null).catch((error) => this.failed(error));
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
      this.changed(bars.merge(found));
      if (found.length) { await this.detail(found[0].t, before); this.ledger(); }
    } catch (error) { this.failed(error); } finally { this.paging = false; }
  }

  /** Fetch the newest bars again soon: at most once a second, however often it is asked. */
  tail() {
    if (this.tailTimer) return;
    const wait = Math.max(0, this.tailAt + TAIL_MS - performance.now());
    this.tailTimer = setTimeout(() => this.refresh(), wait);
  }

  async refresh() {
    this.tailAt = performance.now();
    try {
      const last = this.settled ?? this.bars.last?.t ?? 0;
      let behind = this.bars.list.length;
      while (behind > 0 && this.bars.list[behind - 1].t >= last) behind -= 1;
      const countback = Math.max(TAIL_BARS, this.bars.list.length - behind + TAIL_BARS);
      const { bars: found } = await api.history({ ...this.what, to: FAR(), countback: Math.min(countback, PAGE_BARS) }, this.abort.signal);
      if (this.bars.last && found.length && found[0].t > this.bars.last.t) { await this.reload(); return; }
      this.changed(this.bars.merge(found));
      if (found.length) await this.detail(found[0].t, null);
      this.settled = found.at(-1)?.t;
    } catch (error) { this.failed(error); } finally { this.tailTimer = 0; }
  }

  /* More happened than the tail holds: begin anew from the newest bars. */
  async reload() {
    this.bars.clear();
    await this.load();
  }

  /** Revisions, value and metrics of bars in [from, to); `to` null: to the end. */
  async detail(from, to) {
    const { what, bars } = this, long = !bars.step;
    /* A long bar's key is midnight UTC of its first day; its opening lies within a day of that. */
    const range = { ...what, tf: bars.tf, from: long ? from - DAY : bars.beginning(from), to: to && bars.beginning(to) };
    const names = [["rsi_14", (r) => ({ rsi: r.rsi_14 })], ["ema_20", (r) => ({ ema: r.ema_20 })]];
    if (what.hd && bars.tf === "1m") names.push(["hd", (r) => ({ hd: r.hd, mapo: r.hd_mapo, dmapo: r.hd_dmapo, direction: r.hd_direction })]);
    const wanted = names.filter(([name]) => !this.refused.has(name)).map(([name, fields]) => this.metric(name, fields, range));
    const found = await Promise.allSettled([this.details(range), ...wanted]);
    this.abort.signal.throwIfAborted();
    let change = "none";
    for (const { value } of found) if (value) { const c = bars.enrich(value); change = c === "none" ? change : change === "all" ? "all" : c; }
    if (bars.step && setVwap(bars.list, bars.complete)) change = change === "tail" ? "tail" : "all";
    this.changed(change);
    const bad = found.find(({ status, reason }) => status === "rejected" && reason.name !== "AbortError");
    if (bad) this.failed(bad.reason);
  }

  async details(range) {
    const rows = await api.details(range, this.abort.signal);
    const withHd = this.what.hd && this.bars.tf !== "1m";
    /* A longer bar's rev counts its minutes as they come in: nothing to tell a reader of. */
    const revision = ({ rev }) => (this.bars.tf === "1m" ? { rev } : {});
    const found = new Map();
    for (const row of rows) {
      const t = this.bars.countsTo(this.bars.key(row.at)), before = found.get(t);
      found.set(t, { t, ...revision(row), value: row.value + (before?.value ?? 0), traded: row.volume + (before?.traded ?? 0), ...(withHd ? { hd: row.hd } : {}) });
    }
    return [...found.values()];
  }

  /* A metric that this timeframe has not is asked for once. */
  async metric(name, fields, range) {
    try {
      const rows = await api.metric({ ...range, name }, this.abort.signal);
      return rows.map((row) => ({ t: this.bars.key(row.at), ...fields(row) }));
    } catch (error) {
      if (error.status !== 400) throw error;
      this.refused.add(name);
      return [];
    }
  }

  /** The ledger of what is shown, of its last three months where it is longer. */
  async ledger() {
    const { first, last, step, time } = this.bars;
    if (!first) return;
    try {
      const from = step ? first.t : first.t - time.offset(first.t), to = last.t + (step || DAY);
      this.handlers.ledger(await api.continuity({ ...this.what, from: Math.max(from, to - LEDGER_DAYS * DAY), to }, this.abort.signal));
    } catch (error) { this.failed(error); }
  }

  /** Fetch the ledger again within some seconds: minutes have closed. */
  ledgerSoon() { this.ledgerTimer ||= setTimeout(() => { this.ledgerTimer = 0; this.ledger(); }, LEDGER_MS); }

  changed(change) { if (change !== "none") this.handlers.change(change); }

  failed(error) { if (error.name !== "AbortError") this.handlers.fail(error); }
}

/* Later than any bar: a venue's clock may run ahead of ours. */
const FAR = () => Math.floor(Date.now() / 1000) + 370 * DAY;
