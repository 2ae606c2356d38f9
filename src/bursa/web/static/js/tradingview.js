/* A datafeed for TradingView's charting library (its Datafeed API) over /udf. Live bars and quotes are asked
   for: the answer is the bar as history shows it, however long the page slept. Knows no page. */

const LIVE_MS = 1000, QUOTES_MS = 10_000, FAST_QUOTES_MS = 1000, PATIENCE_MS = 10_000, RETRY_MS = 2000;
const SEARCH_LIMIT = 50;
/* Later than any bar: the newest ones are wanted, whatever this machine's clock says. */
const FAR_S = 4_102_444_800;
const LONG = { "1D": "D", "1W": "W", "1M": "M" };

async function ask(path, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined));
  const response = await fetch(`/udf/${path}?${query}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
  const body = path === "time" ? Number(await response.text()) : await response.json();
  if (body?.s === "error") throw new Error(body.errmsg);
  return body;
}

const bars = ({ s, t, o, h, l, c, v }) => (s === "no_data" ? [] : t.map((time, i) => ({ time: time * 1000, open: o[i], high: h[i], low: l[i], close: c[i], volume: v[i] })));
const rows = (columns) => columns.id.map((_, i) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[i]])));

/* Again and again, `after()` ms after the last answer, until it is stopped. */
class Pulse {
  constructor(turn, after) { Object.assign(this, { turn, after, stopped: false, timer: 0 }); this.wait(); }
  wait() { if (!this.stopped) this.timer = setTimeout(() => this.beat(), this.after()); }
  async beat() {
    try { await this.turn(() => this.stopped); } catch { /* away: asked again at the next turn */ }
    this.wait();
  }
  stop() { this.stopped = true; clearTimeout(this.timer); }
}
const slower = (ms) => () => (document.hidden ? Math.max(ms, QUOTES_MS) : ms);

export class Datafeed {
  constructor() { this.live = new Map(); this.newest = new Map(); }

  async onReady(callback) {
    for (;;) {
      try { const config = await ask("config"); setTimeout(() => callback(config)); return; } catch { await new Promise((go) => setTimeout(go, RETRY_MS)); }
    }
  }

  async searchSymbols(input, exchange, type, onResult) {
    try { onResult(await ask("search", { query: input, exchange, type, limit: SEARCH_LIMIT })); } catch { onResult([]); }
  }

  async resolveSymbol(name, onResolve, onError) {
    try { const info = await ask("symbols", { symbol: name }); setTimeout(() => onResolve(info)); } catch (error) { onError(error.message); }
  }

  async getBars(info, resolution, { from, to, countBack, firstDataRequest }, onResult, onError) {
    try {
      const asked = { symbol: info.ticker, resolution: LONG[resolution] ?? resolution, from, to: firstDataRequest ? FAR_S : to, countback: countBack };
      const found = bars(await ask("history", asked));
      if (firstDataRequest) this.newest.set(key(info, resolution), found.at(-1)?.time ?? 0);
      onResult(found, { noData: !found.length });
    } catch (error) { onError(error.message); }
  }

  /* From the newest known bar on: that one as it is now, and whatever opened since. */
  subscribeBars(info, resolution, onTick, guid) {
    let last = this.newest.get(key(info, resolution)) ?? 0, shown = "";
    const asked = { symbol: info.ticker, resolution: LONG[resolution] ?? resolution, to: FAR_S };
    this.keep(guid, async (stopped) => {
      const found = bars(await ask("history", last ? { ...asked, from: last / 1000 } : { ...asked, from: 0, countback: 1 }));
      for (const bar of found) {
        const now = JSON.stringify(bar);
        if (stopped() || bar.time < last || now === shown) continue;
        [last, shown] = [bar.time, now];
        onTick(bar);
      }
    }, slower(LIVE_MS));
  }

  unsubscribeBars(guid) { this.drop(guid); }

  async getMarks(info, from, to, onData, resolution) {
    try { onData(rows(await ask("marks", { symbol: info.ticker, from, to, resolution: LONG[resolution] ?? resolution }))); } catch { onData([]); }
  }

  async getTimescaleMarks(info, from, to, onData, resolution) {
    try { onData(await ask("timescale_marks", { symbol: info.ticker, from, to, resolution: LONG[resolution] ?? resolution })); } catch { onData([]); }
  }

  async getServerTime(callback) { try { callback(await ask("time")); } catch { /* it goes by its own clock */ } }

  async getQuotes(symbols, onData, onError) {
    try { onData(await quotes(symbols)); } catch (error) { onError(error.message); }
  }

  subscribeQuotes(symbols, fast, onData, guid) {
    for (const [names, ms] of [[symbols, QUOTES_MS], [fast, FAST_QUOTES_MS]]) {
      if (names.length) this.keep(guid, async (stopped) => { const found = await quotes(names); if (!stopped()) onData(found); }, slower(ms));
    }
  }

  unsubscribeQuotes(guid) { this.drop(guid); }

  keep(guid, turn, after) {
    const pulses = this.live.get(guid) ?? [];
    pulses.push(new Pulse(turn, after));
    this.live.set(guid, pulses);
  }

  drop(guid) {
    for (const pulse of this.live.get(guid) ?? []) pulse.stop();
    this.live.delete(guid);
  }
}

const key = (info, resolution) => `${info.ticker} ${LONG[resolution] ?? resolution}`;
const quotes = async (symbols) => (await ask("quotes", { symbols: symbols.join(",") })).d;
