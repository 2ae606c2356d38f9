/* The data API as the pages use it: one function a question, answers in the chart's own words (UTC
   seconds, short names). Failures are `ApiError`; a cancelled request is an AbortError as ever. */

export class ApiError extends Error {
  /** code: the API's stable word, "unreachable" where there was no answer. */
  constructor(message, code, status = 0) { super(message); this.code = code; this.status = status; }
}

/** The most rows that this reader may have in one answer. */
export const ROWS_MAX = Number(document.documentElement.dataset.rows) || 10_000;

/** And the most bars in one answer of `history`. */
export const HISTORY_MAX = Math.min(5000, ROWS_MAX);

let leaving = false;

/** To sign-in and back: what was a session is none any more. */
export function leave() {
  if (leaving) return;
  leaving = true;
  location.assign(`/sign-in?${new URLSearchParams({ next: location.pathname + location.search, done: "ended" })}`);
}

async function get(path, params, signal) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined && value !== null));
  let response, body;
  try {
    response = await fetch(`${path}?${query}`, { signal, headers: { Accept: "application/json" } });
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer.", "unreachable", response?.status ?? 0);
  }
  if (response.status === 401) leave();
  if (body.s === "error") throw new ApiError(body.errmsg ?? "refused", "udf_error", response.status);
  if (body.ok === false) throw new ApiError(body.error, body.code, response.status);
  if (!response.ok) throw new ApiError(response.statusText, "http_error", response.status);
  return body;
}

const seconds = (iso) => Date.parse(iso) / 1000;
const iso = (utcS) => new Date(utcS * 1000).toISOString();

/** {name, exchange, description, timezone, session, pricescale, ...} of an instrument. */
export const symbol = (exchange, ticker, signal) => get("/udf/symbols", { symbol: `${exchange}:${ticker}` }, signal);

/** [{symbol, description, exchange, ...}], best match first; of one exchange where it is named. */
export const search = (query, limit, exchange, signal) => get("/udf/search", { query, limit, exchange }, signal);

/** {bars: [{t, o, h, l, c, v}], nextTime}: the `countback` newest bars before `to`; nextTime is where
    older bars end, given only when there are none in the range. */
export async function history({ exchange, ticker, interval, to, countback, from = 0 }, signal) {
  const body = await get("/udf/history", { symbol: `${exchange}:${ticker}`, resolution: interval, from, to, countback }, signal);
  if (body.s === "no_data") return { bars: [], nextTime: body.nextTime ?? null };
  return { bars: body.t.map((t, i) => ({ t, o: body.o[i], h: body.h[i], l: body.l[i], c: body.c[i], v: body.v[i] })), nextTime: null };
}

/* The `data` of every page of a paged answer, at most `most` pages of the largest size. */
async function* pages(path, params, signal, most = 5) {
  let page;
  for (let n = 0; n < most; n++) {
    const { data, meta } = await get(path, { ...params, limit: ROWS_MAX, page }, signal);
    yield data;
    page = meta.next_page;
    if (!page) return;
  }
}

async function rows(path, params, signal) {
  const out = [];
  for await (const data of pages(path, params, signal)) out.push(...data);
  return out;
}

/* [from, to) as the API reads it; without a bound where one is null. */
const range = (from, to) => ({ from: from === null ? undefined : iso(from), to: to === null ? undefined : iso(to) });

/** What /udf/history does not say of bars, the open one included: [{at, rev, hd}], `at` the opening in UTC
    seconds. */
export async function details({ venue, ticker, tf, from, to }, signal) {
  const found = await rows(`/v1/ohlcv/${encodeURIComponent(ticker)}`, { venue, tf, ...range(from, to), open: 1 }, signal);
  return found.map(({ date, rev, hd }) => ({ at: seconds(date), rev, hd }));
}

/** Rows of some metrics: [{at, rev, ...columns}]. */
export async function metrics({ venue, ticker, tf, from, to, names }, signal) {
  const found = await rows("/v1/metrics/history", { venue, metric: names.join(","), ticker, tf, ...range(from, to) }, signal);
  return found.map((row) => ({ ...row, at: seconds(row.date) }));
}

/** The latest trade, quote and day figures as one: {last, prev, open, high, low, volume, value, trades,
    bid, ask, at}; what is not known is absent. */
export async function snapshot(venue, ticker, signal) {
  const { data: { trade, quote, day } } = await get(`/v1/snapshot/${encodeURIComponent(ticker)}`, { venue }, signal);
  const out = { bid: quote?.bid, ask: quote?.ask };
  if (day) Object.assign(out, { prev: day.prev, open: day.open, high: day.high, low: day.low, last: day.last, volume: day.volume, value: day.value, trades: day.trades, at: seconds(day.date) });
  /* Day figures come now and then; the trade is newer. */
  if (trade && seconds(trade.date) >= (out.at ?? 0)) {
    Object.assign(out, { last: trade.price, at: seconds(trade.date) });
    if (day?.high) Object.assign(out, { high: Math.max(day.high, trade.price), low: Math.min(day.low, trade.price) });
  }
  return out;
}

/** The ledger of a range: {total: {received, backfilled, empty, missing} in minutes, holes: [{from, to,
    channel, seqFrom, seqTo, part}], backfilled: [{from, to}]}; a hole that no lost message explains has no channel.
    `part`: messages were lost, but each minute has something. */
export async function continuity({ venue, ticker, from, to }, signal) {
  const missing = [], backfilled = [], lost = [];
  let totals;
  for await (const data of pages(`/v1/continuity/${encodeURIComponent(ticker)}`, { venue, ...range(from, to) }, signal)) {
    totals ??= data.totals;
    if (!lost.length) lost.push(...data.gaps);
    missing.push(...data.ranges.filter(({ state }) => state === "missing"));
    backfilled.push(...data.ranges.filter(({ state }) => state === "backfilled").map(({ from, to }) => ({ from: seconds(from), to: seconds(to) })));
  }
  const total = { received: totals.received, backfilled: totals.backfilled, empty: totals.confirmed_empty, missing: totals.missing };
  const holes = missing.map((stretch) => explained(stretch, lost));
  const bare = lost.map(part).filter((gap) => !holes.some((hole) => gap.from < hole.to && gap.to >= hole.from));
  return { total, holes: [...holes, ...bare].sort((a, b) => a.from - b.from), backfilled };
}

function part(gap) {
  const from = seconds(gap.from), to = Math.max(seconds(gap.to), from + 0.001);
  return { from, to, channel: gap.channel, seqFrom: gap.seq_from, seqTo: gap.seq_to, part: true };
}

function explained(stretch, lost) {
  const hole = { from: seconds(stretch.from), to: seconds(stretch.to), channel: "", seqFrom: null, seqTo: null };
  for (const gap of lost) {
    if (seconds(gap.from) >= hole.to || seconds(gap.to) < hole.from) continue;
    hole.channel ||= gap.channel;
    hole.seqFrom = Math.min(hole.seqFrom ?? gap.seq_from, gap.seq_from);
    hole.seqTo = Math.max(hole.seqTo ?? gap.seq_to, gap.seq_to);
  }
  return hole;
}

/** How whole a venue's days are, by ticker: the `data` of one page, and the token of the next. */
export async function continuityMap({ venue, from, to, sort, limit, page }, signal) {
  const { data, meta } = await get("/v1/continuity", { venue, from, to, sort, limit, page }, signal);
  return { ...data, next: meta.next_page };
}

/** The ledger of a day as the server tells it: {data: {totals, ranges, gaps, ...}}. */
export const continuityDay = ({ venue, ticker, from, to }, signal) => get(`/v1/continuity/${encodeURIComponent(ticker)}`, { venue, from, to, limit: ROWS_MAX }, signal);

/** The venue's day for tape, clock and badge. */
export const tape = (venue, signal) => get("/web/tape", { venue }, signal);

/** The figures of a venue's day for the overview. */
export const overview = (venue, signal) => get("/web/overview", { venue }, signal);
