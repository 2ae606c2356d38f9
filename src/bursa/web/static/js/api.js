/* The data API as the pages use it: one function a question, answers in the chart's own words (UTC
   seconds, short names). Failures are `ApiError`; a cancelled request is an AbortError as ever. */

export class ApiError extends Error {
  /** code: the API's stable word, "unreachable" where there was no answer. */
  constructor(message, code, status = 0) { super(message); this.code = code; this.status = status; }
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
  if (body.s === "error") throw new ApiError(body.errmsg ?? "refused", "udf_error", response.status);
  if (body.ok === false) throw new ApiError(body.error, body.code, response.status);
  if (!response.ok) throw new ApiError(response.statusText, "http_error", response.status);
  return body;
}

const seconds = (iso) => Date.parse(iso) / 1000;
const iso = (utcS) => new Date(utcS * 1000).toISOString();

/** {name, exchange, description, timezone, session, pricescale, ...} of an instrument. */
export const symbol = (exchange, ticker, signal) => get("/udf/symbols", { symbol: `${exchange}:${ticker}` }, signal);

/** [{symbol, description, exchange, ...}], best match first. */
export const search = (query, limit, signal) => get("/udf/search", { query, limit }, signal);

/** {bars: [{t, o, h, l, c, v}], nextTime}: the `countback` newest bars before `to`; nextTime is where
    older bars end, given only when there are none in the range. */
export async function history({ exchange, ticker, interval, to, countback, from = 0 }, signal) {
  const body = await get("/udf/history", { symbol: `${exchange}:${ticker}`, resolution: interval, from, to, countback }, signal);
  if (body.s === "no_data") return { bars: [], nextTime: body.nextTime ?? null };
  return { bars: body.t.map((t, i) => ({ t, o: body.o[i], h: body.h[i], l: body.l[i], c: body.c[i], v: body.v[i] })), nextTime: null };
}

/** All rows of a paged answer in [from, to), at most `pages` pages of the largest size. */
async function rows(path, params, signal, pages = 5) {
  const out = [];
  let page;
  for (let n = 0; n < pages; n++) {
    const body = await get(path, { ...params, limit: 10_000, page }, signal);
    out.push(...rowsOf(body.data));
    page = body.meta?.next_page;
    if (!page) break;
  }
  return out;
}

const rowsOf = (data) => (Array.isArray(data) ? data : data?.rows ?? data?.bars ?? []);

/** What /udf/history does not say of bars: [{at, rev, value, trades, hd}], `at` the opening in UTC seconds. */
export async function details({ venue, ticker, tf, from, to }, signal) {
  const found = await rows(`/v1/ohlcv/${encodeURIComponent(ticker)}`, { venue, tf, from: iso(from), to: iso(to) }, signal);
  return found.map((row) => ({ at: seconds(row.date), rev: row.rev, value: row.value, hd: row.hd }));
}

/** Rows of one metric: [{at, ...columns}]. */
export async function metric({ venue, ticker, tf, from, to, name }, signal) {
  const found = await rows("/v1/metrics/history", { venue, metric: name, ticker, tf, from: iso(from), to: iso(to) }, signal);
  return found.map((row) => ({ at: seconds(row.date ?? row.bar_time), ...row }));
}

/** The latest trade, quote and day figures. */
export const snapshot = async (venue, ticker, signal) => (await get(`/v1/snapshot/${encodeURIComponent(ticker)}`, { venue }, signal)).data;

/** The ledger of a range, as the API gives it. */
export async function continuity({ venue, ticker, from, to }, signal) {
  const { data } = await get(`/v1/continuity/${encodeURIComponent(ticker)}`, { venue, from: iso(from), to: iso(to) }, signal);
  return data;
}

/** The venue's day for tape, clock and badge. */
export const tape = (venue, signal) => get("/web/tape", { venue }, signal);
