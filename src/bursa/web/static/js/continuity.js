/* The continuity map: asks how whole a venue's days are, draws them, and tells of the chosen day what is missing
   of it and why. */

import * as api from "./api.js";
import { VenueTime } from "./clock.js";
import { $, mark, node, put, shape } from "./dom.js";
import { clockMinutes, day, fixed, span } from "./format.js";
import { Heat, STATES, minutesAt, summary } from "./heat.js";
import { say } from "./say.js";
import { shell } from "./shell.js";

const POLL_MS = 30_000, ROWS = 100, HOLES = 6, SETTLE_MS = 120;
/* Minutes of a chart's bars; so many bars at most are between the day that it opens at and now. */
const INTERVALS = [1, 5, 15, 30, 60], BARS = Math.min(10_000, 4 * api.ROWS_MAX);

const page = $("page").dataset, time = new VenueTime(page.timezone);
const now = { data: null, shown: ROWS, sort: "missing", to: null, before: [], timer: 0, asking: null, telling: null };

const chart = (ticker, where = {}) => `/chart?${new URLSearchParams({ symbol: `${page.exchange}:${ticker}`, interval: 1, ...where })}`;

/* The chart at a day, in the finest bars of which not too many follow it. */
function link(ticker, at) {
  const { days } = now.data, minutes = Math.max(1, ...days.map(({ minutes: each }) => each)) * (days.length - at + now.before.length * 30);
  return chart(ticker, { interval: INTERVALS.find((each) => minutes / each <= BARS) ?? "D", at: days[at].date });
}

const heat = new Heat({ head: $("m-days"), body: $("m-rows") }, {
  chosen: (row, at) => tell(row, at),
  open: (row, at) => { if (row) location.assign(link(row.ticker, at)); },
});

/* ---- The map ---- */

function draw() {
  const { days, tickers, count, next } = now.data, empty = !days.length || !count;
  $("m-empty").hidden = !empty;
  $("m-scroll").hidden = empty;
  put($("m-sum"), summary(days, count));
  mark($("m-table"), "aria-busy", "false");
  if (!empty) heat.show(days, tickers, chart);
  put($("m-count"), empty ? "" : `${tickers.length < count ? `${fixed(tickers.length, 0)} of ` : ""}${fixed(count, 0)} ${count === 1 ? "instrument" : "instruments"}`);
  $("m-more").hidden = !next || now.shown >= api.ROWS_MAX;
  $("m-newer").disabled = !now.before.length;
  $("m-older").disabled = empty || (now.data.kept_from !== null && Date.parse(now.data.kept_from) >= Date.parse(now.data.from));
}

/* As many pages as are shown: the rows that a reader unfolded stay. */
async function read(signal) {
  const asked = { venue: page.venue, sort: now.sort, to: now.to ?? undefined };
  const found = await api.continuityMap({ ...asked, limit: Math.min(now.shown, api.ROWS_MAX) }, signal);
  return found;
}

async function poll(first = false) {
  clearTimeout(now.timer);
  now.asking?.abort();
  const asking = (now.asking = new AbortController());
  try {
    const found = await read(asking.signal);
    const fresh = !now.data;
    now.data = found;
    $("m-error").hidden = true;
    draw();
    if (fresh || first) $("m-scroll").scrollLeft = $("m-scroll").scrollWidth;
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.code === undefined) throw error;
    if ($("m-error").hidden) say("The map could not be read.", true);
    put($("m-why"), `${error.message} (${error.code})`);
    $("m-error").hidden = false;
    mark($("m-table"), "aria-busy", "false");
  } finally { if (!asking.signal.aborted) now.timer = setTimeout(poll, document.hidden ? 4 * POLL_MS : POLL_MS); }
}

/* ---- The chosen day ---- */

function tell(row, at) {
  const { date, minutes, totals } = now.data.days[at], own = row ? minutesAt(row, at) : totals;
  put($("m-one-title"), row ? row.ticker : "All instruments");
  put($("m-one-sub"), day(Date.parse(date) / 1000));
  put($("m-expected"), row ? fixed(minutes, 0) : `${fixed(minutes, 0)} each`);
  for (const state of STATES) put($(`m-${state}`), fixed(own[state], 0));
  for (const state of ["missing", "backfilled"]) $(`m-${state}`).classList.toggle(state === "missing" ? "b-gapc" : "b-late", own[state] > 0);
  $("m-chart").hidden = !row;
  if (row) { $("m-chart").href = link(row.ticker, at); put($("m-chart"), `Open the chart of ${row.ticker} at this day`); }
  $("m-fix").hidden = !own.missing;
  put($("m-command"), `bursa gaps fill --venue ${page.venue}${row ? ` --ticker ${row.ticker}` : ""} --from ${date} --to ${following(date)}`);
  clearTimeout(now.telling);
  $("m-holes").replaceChildren();
  if (!row) { tape([], date); worst(at); return; }
  /* Who walks through the cells asks only where he stays. */
  now.telling = setTimeout(() => ranges(row.ticker, date), SETTLE_MS);
}

const following = (date) => new Date(Date.parse(date) + 86400_000).toISOString().slice(0, 10);

/* Of all instruments: which lost most. */
function worst(at) {
  const rows = now.data.tickers.filter((row) => row.missing[at]).sort((a, b) => b.missing[at] - a.missing[at]).slice(0, HOLES);
  $("m-holes").replaceChildren(...rows.map((row) => note(`${row.ticker}:`, `${span(row.missing[at] * 60)} missing`)));
}

function note(fact, rest) {
  const item = node("li", "b-note b-note--gap"), text = node("span");
  text.append(node("b", "", fact), ` ${rest}`);
  item.append(text);
  return item;
}

async function ranges(ticker, date) {
  const chosen = heat.chosen();
  try {
    const { data } = await api.continuityDay({ venue: page.venue, ticker, from: date, to: following(date) });
    const still = heat.chosen();
    if (!chosen || still?.ticker !== ticker || still?.date !== date) return;
    tape(data.ranges, date, `${ticker}, ${day(Date.parse(date) / 1000)}`);
    const holes = data.ranges.filter(({ state }) => state === "missing");
    $("m-holes").replaceChildren(...holes.slice(0, HOLES).map((hole) => note(`${clocks(hole)} is missing${why(hole, data.gaps)}.`, span(hole.minutes * 60))));
    if (holes.length > HOLES) $("m-holes").append(node("li", "b-tiny b-faint", `and ${holes.length - HOLES} more`));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.code === undefined) throw error;
    $("m-holes").replaceChildren(note("The day could not be read.", `${error.message} (${error.code})`));
  }
}

const clock = (iso) => clockMinutes(time.local(Date.parse(iso) / 1000));
const clocks = ({ from, to }) => `${clock(from)} to ${clock(to)}`;
const CAUSES = { jump: "its numbers went on without it", down: "the line was away", refused: "it could not be used", unanswered: "nobody sent it again" };

/* What a hole is put down to: the gap of a channel that touches it. */
function why(hole, gaps) {
  const gap = gaps.find(({ from, to }) => Date.parse(from) < Date.parse(hole.to) && Date.parse(to) >= Date.parse(hole.from));
  if (!gap) return ": nothing proves that the feed was heard";
  return ` on ${gap.channel}, seq ${fixed(gap.seq_from, 0)} to ${fixed(gap.seq_to, 0)}${gap.cause ? `: ${CAUSES[gap.cause]}` : ""}`;
}

/* The day to scale, from the first expected minute to the last. */
function tape(found, date, name = "All instruments") {
  const box = $("m-tape");
  if (!found.length) { box.replaceChildren(); mark(box, "aria-label", `${name}: choose an instrument to see the minutes of ${date}`); return; }
  const from = Date.parse(found[0].from), whole = Date.parse(found.at(-1).to) - from, out = [];
  for (const range of found) {
    const x = `${((Date.parse(range.from) - from) / whole * 100).toFixed(2)}%`, width = `${((Date.parse(range.to) - Date.parse(range.from)) / whole * 100).toFixed(2)}%`;
    const low = range.state === "confirmed_empty";
    if (range.state === "missing") out.push(shape("rect", { class: "wash", x, width, height: "100%" }));
    out.push(shape("rect", { class: range.state, x, width, y: low ? "86%" : 0, height: low ? "14%" : "100%" }));
  }
  box.replaceChildren(...out);
  const holes = found.filter(({ state }) => state === "missing").map(clocks);
  mark(box, "aria-label", `${name}: ${clock(found[0].from)} to ${clock(found.at(-1).to)}. ${holes.length ? `Missing ${holes.join(", ")}.` : "Nothing is missing."}`);
}

/* ---- Hands ---- */

$("m-sort").addEventListener("click", (event) => {
  const value = event.target.closest("button")?.value;
  if (!value || value === now.sort) return;
  now.sort = value;
  for (const button of $("m-sort").querySelectorAll("button")) mark(button, "aria-pressed", String(button.value === value));
  poll();
});
$("m-more").addEventListener("click", () => { now.shown += ROWS; poll(); });
$("m-older").addEventListener("click", () => { now.before.push(now.to); now.to = now.data.days[0].date; poll(true); });
$("m-newer").addEventListener("click", () => { now.to = now.before.pop() ?? null; poll(true); });
$("m-again").addEventListener("click", () => poll());
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
document.addEventListener("bursa:display", ({ detail }) => { if (detail.name === "numbers" && now.data) draw(); });
shell.open = ({ symbol, exchange }) => {
  const at = exchange === page.exchange ? heat.rows.findIndex((row) => row?.ticker === symbol) : -1;
  if (at > 0) heat.choose(at, heat.days.length - 1);
  else location.assign(`/chart?${new URLSearchParams({ symbol: `${exchange}:${symbol}` })}`);
};
poll(true);
