// TradingView's UDF adapter as documented (README.md): what it asks, in which order, and what it makes of
// the answers. It never looks at an HTTP status; every body is JSON or the request failed. Keeps no judgement:
// checks.mjs judges.

const DEFAULTS = {
  supports_search: false,
  supports_group_request: true,
  supported_resolutions: ["1", "5", "15", "30", "60", "1D", "1W", "1M"],
  supports_marks: false,
  supports_timescale_marks: false,
};
const SEARCH_MOST = 30;

/** Seconds that `count` bars of a resolution span, by the calendar. */
export function spanSeconds(resolution, count) {
  const days = { D: 1, "1D": 1, W: 7, "1W": 7, M: 31, "1M": 31 }[resolution] ?? Number(resolution) / (24 * 60);
  return days * count * 24 * 3600;
}

export class Adapter {
  /** base: where UDF lives, without a slash at its end; exchanges: the groups asked for when /config fails; key: an API key, "" for none. */
  constructor(base, exchanges, key) {
    this.base = base;
    this.headers = key ? { "X-Api-Key": key } : {};
    this.exchanges = exchanges;
    this.config = null;
    this.storage = null;
    this.requests = 0;
  }

  async text(path, params = {}) {
    const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined).map(([k, v]) => [k, String(v)]));
    this.requests += 1;
    const response = await fetch(`${this.base}/${path}${query.size ? `?${query}` : ""}`, { headers: this.headers });
    return response.text();
  }

  async json(path, params) { return JSON.parse(await this.text(path, params)); }

  /** Read /config; without a readable one the defaults hold, and symbols come by group. */
  async ready() {
    try {
      this.config = await this.json("config");
    } catch {
      this.config = DEFAULTS;
    }
    if (!this.config.supports_search && !this.config.supports_group_request) throw new Error("config supports neither search nor group requests");
    if (this.config.supports_group_request) this.storage = await this.groups();
    return this.config;
  }

  async groups() {
    const found = new Map();
    for (const group of this.exchanges) {
      const answer = await this.json("symbol_info", { group });
      if (answer.s === "error") throw new Error(`symbol_info of ${group}: ${answer.errmsg}`);
      if (!Array.isArray(answer.symbol)) throw new Error(`symbol_info of ${group} has no list of symbols`);
      answer.symbol.forEach((name, i) => {
        const info = grouped(answer, name, i, this.config.supported_resolutions);
        for (const key of [info.ticker, info.name, info.full_name]) found.set(key, info);
      });
    }
    return found;
  }

  /** [{symbol, full_name, description, exchange, ticker, type}]; what is typed is asked for in capitals. */
  async search(typed, exchange = "", type = "") {
    if (this.storage) {
      const wanted = typed.toUpperCase(), all = new Set(this.storage.values());
      const fits = (info) => (!exchange || info.exchange === exchange) && (!type || info.type === type);
      return [...all].filter((info) => fits(info) && (info.name.toUpperCase().includes(wanted) || (info.description ?? "").toUpperCase().includes(wanted))).slice(0, SEARCH_MOST);
    }
    const answer = await this.json("search", { limit: SEARCH_MOST, query: typed.toUpperCase(), type, exchange });
    if (answer.s !== undefined) throw new Error(`search: ${answer.errmsg}`);
    return answer;
  }

  /** A symbol's description; null where there is none. A body with `s` is no symbol. */
  async resolve(name) {
    if (this.storage) return this.storage.get(name.toUpperCase()) ?? null;
    const answer = await this.json("symbols", { symbol: name });
    if (answer.s !== undefined) return null;
    return { ...answer, listed_exchange: answer.listed_exchange ?? answer["exchange-listed"], exchange: answer.exchange ?? answer["exchange-traded"], session: answer.session ?? answer["session-regular"] };
  }

  /** {bars: [{time, open, high, low, close, volume}], noData, nextTime}; times in seconds. */
  async history(info, resolution, { from, to, countBack, first }) {
    const answer = await this.json("history", {
      symbol: info.ticker ?? "", resolution, from, to, countback: countBack, firstDataRequest: first, currencyCode: info.currency_code,
    });
    if (answer.s !== "ok" && answer.s !== "no_data") throw new Error(`history of ${info.ticker} ${resolution}: ${answer.errmsg}`);
    if (answer.s === "no_data") return { bars: [], noData: true, nextTime: answer.nextTime };
    const bars = answer.t.map((time, i) => ({ time, open: answer.o[i], high: answer.h[i], low: answer.l[i], close: answer.c[i], volume: answer.v?.[i] }));
    return { bars, noData: false };
  }

  async quotes(names) {
    const answer = await this.json("quotes", { symbols: names.join(",") });
    if (answer.s !== "ok") throw new Error(`quotes: ${answer.errmsg}`);
    return answer.d;
  }

  /** Marks of either kind: a list, or an object of lists that is one turned on its side. */
  async marks(kind, info, resolution, from, to) {
    const answer = await this.json(kind, { symbol: info.ticker ?? "", from, to, resolution });
    if (Array.isArray(answer)) return answer;
    if (answer.s === "error") throw new Error(`${kind}: ${answer.errmsg}`);
    return (answer.id ?? []).map((_, i) => Object.fromEntries(Object.entries(answer).map(([key, list]) => [key, Array.isArray(list) ? list[i] : list])));
  }

  /** The server's clock in seconds; NaN where the answer is no number. */
  async time() { return Number(await this.text("time")); }
}

/* One row of symbol_info: a field is a list, one entry a symbol, or one value for all of them. */
function grouped(answer, name, i, resolutions) {
  const field = (key, listed = false) => {
    const value = answer[key];
    return Array.isArray(value) && (!listed || Array.isArray(value[0])) ? value[i] : value;
  };
  const exchange = field("exchange-traded");
  return {
    name, exchange, listed_exchange: field("exchange-listed"), full_name: `${exchange}:${name}`, ticker: answer.ticker === undefined ? name : field("ticker"),
    description: field("description"), type: field("type"), session: field("session-regular"), timezone: field("timezone"),
    minmov: field("minmovement") || field("minmov") || 0, pricescale: field("pricescale"), has_intraday: field("has-intraday") ?? false,
    has_daily: field("has-daily") ?? true, has_weekly_and_monthly: field("has-weekly-and-monthly"), intraday_multipliers: field("intraday-multipliers", true) ?? ["1", "5", "15", "30", "60"],
    supported_resolutions: field("supported-resolutions", true) ?? resolutions, volume_precision: field("volume-precision") ?? 0, currency_code: field("currency-code"),
  };
}

/** One subscription of the data pulse. `listener(bar)` is called as the library's is. */
export class Pulse {
  constructor(adapter, info, resolution, listener) {
    Object.assign(this, { adapter, info, resolution, listener, lastTime: null });
  }

  /** One beat: the last two bars before now; a new bar sends the one before it first, whole. */
  async beat(now) {
    const to = Math.round(now), from = to - spanSeconds(this.resolution, 10);
    const { bars } = await this.adapter.history(this.info, this.resolution, { from, to, countBack: 2, first: false });
    const last = bars.at(-1);
    if (!last || (this.lastTime !== null && last.time < this.lastTime)) return;
    if (this.lastTime !== null && last.time > this.lastTime) {
      if (bars.length < 2) throw new Error("a new bar came without the one before it");
      this.listener(bars.at(-2));
    }
    this.lastTime = last.time;
    this.listener(last);
  }
}
