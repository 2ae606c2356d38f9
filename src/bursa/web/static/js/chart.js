/* The chart page: ties the parts together. Opens an instrument at an interval, keeps it live, follows
   the address, the keyboard and the display settings. */

import * as api from "./api.js";
import { Bars, INTERVALS, mark, marksOf } from "./bars.js";
import { Sessions, VenueTime } from "./clock.js";
import { ChartFeed } from "./feed.js";
import { latest, latestHd, silent } from "./figures.js";
import { day, dayYear, fixed, percent } from "./format.js";
import { Hands } from "./hands.js";
import { IndicatorMenu } from "./indicator_menu.js";
import { asked, Catalogue, Choice } from "./indicators.js";
import { field } from "./layers.js";
import { Legend } from "./legend.js";
import { beginning, heading, listed } from "./listing.js";
import { elsewhere, find, placeOf } from "./place.js";
import { Plot } from "./plot.js";
import { Quote } from "./quote.js";
import { say, toast } from "./say.js";
import { remember } from "./search.js";
import { shell } from "./shell.js";
import { awayWords, barTable, describes, holeWords, lastBar, listHoles, notRead, nothingYet, statusLine } from "./status.js";
import { Stream } from "./stream.js";

const HD = field("hd");
const NEAR_EDGE = 80, SKELETON_MS = 300, LIST_MS = 150, RETRY_MS = 2000, TOLD_MAX = 3;
/* How often is asked where nothing comes by itself. */
const LOOK_MS = 15_000;
const $ = (id) => document.getElementById(id);
const page = $("page").dataset;

const facts = {
  venue: page.venue, exchange: page.exchange, currency: page.currency, hd: page.hd === "yes",
  unit: Number(page.volumeUnit), word: page.volumeWord, priceDecimals: Number(page.priceDecimals), volumeDecimals: Number(page.volumeDecimals),
};
const time = new VenueTime(page.timezone), sessions = new Sessions(page.session, page.holidays, page.corrections);
const quote = new Quote(facts, time);
const empties = [...$("empty").children], named = placeOf(page);
const now = { ticker: page.ticker, name: $("name").textContent, interval: page.interval, place: named, placed: null, bars: null, feed: null, slots: [], marks: null, ledger: { total: null, holes: [], backfilled: [] }, hover: null, newest: null, ready: false };

const wanted = asked(location.search), choice = new Choice(new Catalogue(JSON.parse($("catalogue").textContent)), wanted);
const plot = new Plot($("plot"), facts, choice);
const legend = new Legend($("legends"), plot, facts, { silence: (metric, { bar }) => (now.bars && now.feed ? silent(metric, bar, isOpen(bar), now.bars, now.feed) : ""), remove: (name) => toggle(name) });
const menu = new IndicatorMenu($("indicators"), $("indicators-open"), choice, { toggle });

/* ---- Drawing what is known ---- */

function long() { return !INTERVALS[now.interval].step; }

const hole = (which) => holeWords(which, time);

/* Place of the last bar: behind it stand slots that are not received yet. */
const lastAt = () => now.slots.findLastIndex((slot) => !slot.hole?.pending || slot.bar);

function draw(change) {
  const { bars } = now, grown = change === "tail" ? bars.grow(now.slots) : "no";
  if (grown === "no") {
    const pointed = now.slots[now.hover]?.x;
    now.slots = bars.slots();
    /* Older ones before it: the bar under the crosshair has another number now. */
    if (pointed !== undefined) now.hover = slotAt(pointed);
    now.marks = marksOf(now.slots, hole);
    plot.setSlots(now.slots, now.marks, long(), { last: lastAt(), crossed: now.hover, moved: bars.moved });
    bars.moved = false;
  } else {
    if (grown === "added") mark(now.marks, now.slots.at(-1), now.slots.length - 1, hole);
    plot.touchLast();
  }
  if (plot.newest === bars.newer) plot.ends(!bars.newer);
  showEmpty(bars.list.length === 0 ? "none" : "");
  /* Nothing lies over bars that are shown. */
  if (bars.list.length) $("loading").hidden = true;
  list(grown !== "no");
  showBar();
  showStatus();
  const hd = facts.hd && !bars.newer ? latestHd(now.slots, lastAt()) : null;
  if (hd !== null && hd !== quote.figures.hd) quote.take({ hd });
}

/* The table beside the chart. tail: only the newest bars changed. */
function list(tail = false) {
  const { bars, slots } = now, at = listed(slots, plot.range(), lastAt(), now.placed), newest = at.newest && !bars.newer, pending = newest ? bars.pending : null;
  if (tail && !newest) return;
  barTable(slots.slice(0, at.end + 1), { facts, long: long(), time, pending }, at.rows, tail && !pending);
  const words = heading(slots[at.end], newest, long());
  if ($("bars-sub").textContent !== words) $("bars-sub").textContent = words;
}

/* It follows what is in view once that rests; not while somebody is in it. */
let resting = 0;
function listSoon() { clearTimeout(resting); resting = setTimeout(() => { if (now.bars?.list.length && !$("bars").closest("section").matches(":hover, :focus-within") && !hands.walked) list(); }, LIST_MS); }

/* One redraw a frame, however many bars came; whole ones, which a catch-up asks for with every frame,
   take a fifth of the time at most. */
let pending = "none", scheduled = false, wholeAt = 0, pause = 0;
function changed(change) {
  if (change === "none") return;
  if (pending !== "all") pending = change;
  if (scheduled) return;
  scheduled = true;
  const wait = pending === "all" ? wholeAt + pause - performance.now() : 0;
  if (wait > 0) setTimeout(redraw, wait);
  else requestAnimationFrame(redraw);
}

function redraw() {
  const todo = pending, began = performance.now();
  pending = "none";
  scheduled = false;
  if (!now.bars) return;
  const first = !now.ready && now.bars.list.length > 0;
  draw(todo);
  if (first) { now.ready = true; showPlace(); }
  if (now.newest) quoteNewest();
  if (todo === "all") [wholeAt, pause] = [performance.now(), 4 * (performance.now() - began)];
}

function quoteNewest() { quote.bar(...now.newest); now.newest = null; titles(); }

/* The number of the slot at a place of the scale; null where there is none. */
function slotAt(place) { const at = now.slots.findIndex(({ x }) => x === place); return at < 0 ? null : at; }

/* Where the chart opens: at the newest bars, or at what the address names, with the crosshair on its first bar. */
function showPlace() {
  const { place, bars, feed } = now, found = place && feed.reached ? find(now.slots, place, bars) : "";
  if (found.first !== undefined) {
    plot.showSlots(found.first, found.last);
    now.hover = found.first;
    now.placed = { from: now.slots[found.first].x, to: now.slots[found.last].x };
    list();
    showBar();
    return;
  }
  plot.showNewest();
  if (!found || now.told === feed) return;
  now.told = feed;
  toast(elsewhere(found, now.ticker, bars.tf, dayYear(time.local(place.from)), Number(page.days)));
}

function showBar() {
  const at = now.hover ?? lastAt(), slot = now.slots[at];
  legend.show(slot?.bar && now.hover === null ? { ...slot, bar: { ...slot.bar, ...latest(now.slots, at, choice.metrics) } } : slot, long());
}

/* A bar is open until the venue's clock has passed its end; a day and more, until its last session. */
function isOpen(bar) {
  const tape = shell.tape.latest;
  if (bar.final !== undefined || !tape) return bar.final === false;
  const at = tape.now / 1000, trading = tape.sessions.filter((session) => session.trading).at(-1);
  const { step } = INTERVALS[now.interval];
  if (step) return at < bar.t + step;
  return now.bars.within(at, bar.t) && (now.bars.tf !== "1d" || tape.now < trading.to);
}

function showStatus() {
  const bar = now.bars.last;
  statusLine(now.ledger.total, now.ledger.holes, now.bars.pending);
  lastBar(bar && { ...bar, final: !isOpen(bar) }, long(), awayWords(shell.tape.away, time), now.bars.newer);
  showBeginning();
  const words = describe();
  if ($("plot").getAttribute("aria-label") !== words) $("plot").setAttribute("aria-label", words);
}

/* Said where it is in view. */
function showBeginning() {
  const range = plot.range(), words = now.bars && range && range.from < 1 ? beginning(now.bars, Number(page.days)) : "";
  $("st-begin").hidden = !words;
  if ($("st-begin").textContent !== words) $("st-begin").textContent = words;
}

function describe() {
  const { bars, ledger, ticker } = now, { prev } = quote.figures, { last } = bars;
  const change = last && prev ? (last.c / prev - 1) * 100 : null;
  return describes(ticker, bars, ledger, { change, decimals: facts.priceDecimals, metrics: choice.metrics }, time);
}

function titles() {
  const { figures } = quote, change = figures.last && figures.prev ? percent((figures.last / figures.prev - 1) * 100) : "";
  document.title = [now.ticker, figures.last ? fixed(figures.last, facts.priceDecimals) : "", change, INTERVALS[now.interval].tf, "\u00b7 bursa"].filter(Boolean).join(" ");
}

/* "": there are bars. "none": none yet. Anything else stays as the server wrote it. */
function showEmpty(kind) {
  const box = $("empty");
  box.hidden = kind === "";
  if (kind !== "none") return;
  box.replaceChildren(...nothingYet(now.ticker, shell.tape.latest));
}

function showUnknown(ticker) {
  const box = $("empty"), [fact, rest, action] = empties;
  fact.textContent = `${facts.exchange} has no instrument ${ticker}`;
  rest.textContent = "Search by code or by company name.";
  const button = action ?? Object.assign(document.createElement("button"), { className: "b-btn b-btn--go", type: "button", textContent: "Search" });
  button.dataset.open = "palette";
  box.replaceChildren(fact, rest, button);
  box.hidden = false;
}

/* ---- Opening ---- */

function press(group, value) { for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === value)); }

function address() {
  const url = new URL(location.href);
  /* A code that was named with its exchange keeps it. */
  const prefixed = (url.searchParams.get("symbol") ?? "").includes(":");
  url.pathname = "/chart";
  url.searchParams.set("symbol", prefixed ? `${facts.exchange}:${now.ticker}` : now.ticker);
  url.searchParams.set("interval", now.interval);
  for (const other of ["ticker", "tf"]) url.searchParams.delete(other);
  if (facts.venue && url.searchParams.has("venue")) url.searchParams.set("venue", facts.venue);
  if (!now.place) url.searchParams.delete("at");
  return choice.write(url);
}

function head(info) {
  now.name = info.description && info.description !== now.ticker ? info.description : "";
  $("ticker").textContent = now.ticker;
  $("name").textContent = now.name;
  $("name").title = now.name;
  document.querySelector(".c-sym").setAttribute("aria-label", `${[now.ticker, now.name].filter(Boolean).join(" ")}: change instrument`);
  $("title").textContent = `${now.ticker}, ${now.name || facts.exchange}, ${INTERVALS[now.interval].tf} chart`;
  const decimals = Math.round(Math.log10(info.pricescale));
  titles();
  if (decimals !== facts.priceDecimals) { facts.priceDecimals = decimals; plot.rebuild(); quote.draw(); }
  remember({ symbol: now.ticker, exchange: facts.exchange, venue: facts.venue, description: now.name, decimals });
}

/* A little after the beginning of what this reader may see of the past, UTC seconds; null where he may see all. */
function begins() {
  const { latest } = shell.tape;
  return page.days ? (latest ? latest.now : Date.now()) / 1000 - (Number(page.days) - 3) * 86400 : null;
}

/* push: enter it into the browser's history. The same again keeps what is in view; other bars of an instrument open at
   the place where the former did. */
async function open(ticker, interval, push = true, place = ticker === now.ticker ? now.place : null) {
  now.feed?.stop();
  const changedTicker = ticker !== now.ticker || !now.bars, again = now.ready && !changedTicker && interval === now.interval;
  Object.assign(now, { ticker, interval, place, placed: null, bars: null, slots: [], ledger: { total: null, holes: [], backfilled: [] }, hover: null, newest: null, ready: again });
  press($("intervals"), interval);
  if (push) history.pushState(null, "", address());
  if (!ticker) { showEmpty("none"); stream.stop(); return; }
  if (changedTicker) quote.clear();
  now.bars = new Bars(time, sessions, interval);
  const feed = (now.feed = new ChartFeed({ ...facts, ticker, interval, metrics: () => choice.metrics, floor: begins, since: () => now.place?.from ?? null }, now.bars, { change: changed, ledger: takeLedger, fail: failed }));
  feed.loaded = feed.load();
  const skeleton = setTimeout(() => { $("loading").hidden = false; }, SKELETON_MS), current = () => now.feed === feed;
  const { tf } = now.bars;
  /* Who may not stream looks now and then: the tape's tick is his clock. */
  if (page.live) looked = performance.now();
  else if (push || !again) stream.follow({ venue: facts.venue, ticker, freq: tf, channels: tf === "1m" ? ["bars", "metrics"] : ["bars"] });
  try {
    const named = api.symbol(facts.exchange, ticker).then((info) => { if (current()) head(info); });
    refreshQuote();
    await Promise.all([named, feed.loaded]);
    /* A live bar that came before the past ones was shown alone, and wide. */
    if (current() && !again && now.bars.list.length) { now.ready = false; changed("all"); }
    if (current() && !now.bars.list.length) { plot.clear(); draw("all"); }
    if (current()) followAway();
  } catch (error) { if (current()) await refused(error, ticker); } finally { clearTimeout(skeleton); if (current() || !now.feed) $("loading").hidden = true; }
}

/* An instrument that is not known may be on its way while the venue is still empty. */
async function refused(error, ticker) {
  if (error.name === "AbortError") return;
  now.feed.stop();
  Object.assign(now, { bars: null, slots: [] });
  plot.clear();
  const anew = () => { if (!now.bars && now.ticker === ticker) open(ticker, now.interval, false); };
  if (error.status !== 404) {
    if (error.code === undefined) throw error;
    /* What a reader may not have he is not given later either. */
    const wait = error.code === "unreachable" ? RETRY_MS : error.status === 429 || error.status >= 500 ? LOOK_MS : 0;
    if (error.code === "unreachable") failed(error);
    $("empty").replaceChildren(...notRead(error, wait / 1000, anew));
    $("empty").hidden = false;
    clearTimeout(now.retry);
    if (wait) now.retry = setTimeout(anew, wait);
    return;
  }
  stream.stop();
  const any = await api.search("", 1, facts.exchange).catch(() => []);
  if (any.length) { showUnknown(ticker); say(`${facts.exchange} has no instrument ${ticker}.`); return; }
  showEmpty("none");
  setTimeout(anew, RETRY_MS);
}

let told = 0;
function failed(error) {
  if (performance.now() - told < 10_000) return;
  told = performance.now();
  if (error.code === "unreachable") say("The server does not answer. What is shown stays, and is tried again.", true);
  else toast(`${error.message} (${error.code})`, true);
}

/* ---- Live ---- */

/* His tier streams no more than he has open already, or not any more: the chart looks for itself. */
function notStreamed({ error, code }) {
  page.live = page.tier;
  stream.stop();
  toast(`Not streamed: ${error} (${code}). The chart looks for news every ${LOOK_MS / 1000} s instead.`, true);
}

function takeFrame(frame) {
  const { bars, feed } = now;
  if (frame.type === "error" && frame.code.startsWith("tier_")) { notStreamed(frame); return; }
  if (!bars || (frame.ticker && frame.ticker !== now.ticker)) return;
  if (frame.type === "bar") takeBar(frame);
  else if (frame.type === "metrics") takeMetrics(frame);
  /* Value, and what longer bars have of metrics, come with the minute. */
  else if (frame.type === "end_of_interval") { feed.tail(); feed.ledgerSoon(); }
  else if (frame.type === "gap" && frame.reason === "feed") feed.ledger();
  /* What was traded between the reading of the bars and the subscription was told to nobody. */
  else if (frame.type === "subscribed") feed.loaded.then(() => feed.tail(), () => { /* it says so itself */ });
}

function takeBar({ freq, bar_time: at, open: o, high: h, low: l, close: c, volume: v, hd, rev, final }) {
  const { bars } = now, t = Date.parse(at) / 1000;
  if (freq !== bars.tf) return;
  const bar = { t: bars.key(t), o, h, l, c, v, final, ...(freq === "1m" ? { rev } : {}), ...(facts.hd && freq !== "1m" ? { [HD]: hd } : {}) };
  const newest = !bars.last || bar.t >= bars.last.t;
  /* The auction before the opening belongs to the first bar, which the server adds up. */
  if (bars.isAuction(t) || !bars.last) now.feed.tail();
  else changed(bars.hear(bar));
  if (newest) now.newest = [bar, hd, bars.step ? t : null];
  if (newest && bars.newer) quoteNewest();
  /* What was away has come back: do not wait for the next look at the tape. */
  if (bars.pending) shell.tape.soon();
}

function takeMetrics({ freq, bar_time: at, values, rev }) {
  const { bars, feed } = now;
  if (freq !== bars.tf) return;
  const row = feed.row({ at: Date.parse(at) / 1000, rev, ...values }, choice.metrics);
  changed(bars.enrich([facts.hd ? { ...row, [HD]: values.hd } : row]));
  if (facts.hd && bars.last && row.t >= bars.last.t - 60) quote.take({ hd: values.hd });
}

function takeLedger(ledger) {
  const shown = ({ holes, backfilled }) => JSON.stringify([holes, backfilled]), same = shown(ledger) === shown(now.ledger);
  now.ledger = ledger;
  if (same) { showStatus(); return; }
  now.bars.setHoles(ledger.holes, ledger.backfilled);
  listHoles(ledger.holes, time);
  changed("all");
}

async function refreshQuote() {
  if (!now.bars || document.hidden) return;
  const { ticker } = now;
  try {
    const s = await api.snapshot(facts.venue, ticker);
    if (ticker !== now.ticker) return;
    quote.take(s);
    titles();
  } catch (error) { if (error.status !== 404) failed(error); }
}

const stream = new Stream({
  frame: takeFrame,
  state: (state) => shell.tape.stream(state === "cut" || (state === "connecting" && shell.tape.streamCut)),
  /* What was missed cannot be had again, and the server may have begun anew: so do we. */
  lost: () => { if (now.ticker) open(now.ticker, now.interval, false, inView()); },
});

/* ---- The venue's day ---- */

/* None was named and the venue had none yet: open the first one it has. */
async function openFirst({ first }) {
  const ticker = first ?? (await api.search("", 1, facts.exchange).catch(() => []))[0]?.symbol;
  if (ticker && !now.ticker) open(ticker, now.interval, false);
}

/* What lies between the last bar and the venue's clock while nothing comes; it closes by itself as bars come. */
function followAway() {
  const { bars } = now, { tape } = shell, { away } = tape;
  if (!bars) { lastBar(null, false, awayWords(away, time)); return; }
  const cut = away && { since: away.since === null ? null : away.since / 1000, now: tape.now() / 1000 };
  if (bars.setPending(tape.latest ? cut : null)) changed("all");
  showStatus();
}
document.addEventListener("bursa:away", followAway);

let looked = -Infinity;
function look() {
  if (page.live && performance.now() - looked < LOOK_MS) return;
  looked = performance.now();
  refreshQuote();
  if (page.live && !document.hidden) now.feed.tail();
}

let progressClosed = false, wasStreaming = false, dayShown = "", holesSeen = 0;
document.addEventListener("bursa:tape", ({ detail: tape }) => {
  const { progress } = tape;
  $("progress").hidden = !progress || progressClosed;
  if (progress) {
    const text = `Past days are streaming in: day ${progress.day} of ${progress.days}, to ${day(Date.parse(progress.date) / 1000).slice(4)}`;
    if ($("progress-text").textContent !== text) $("progress-text").textContent = text;
    $("progress-bar").setAttribute("width", `${((progress.day / progress.days) * 100).toFixed(1)}%`);
  }
  if (wasStreaming && !progress) { say("All past days are in."); if (now.ticker) open(now.ticker, now.interval, false, inView()); }
  wasStreaming = Boolean(progress);
  if (!now.ticker) { showEmpty("none"); openFirst(tape); }
  if (now.bars && (tape.holes.length !== holesSeen || tape.date !== dayShown)) now.feed.ledger();
  [holesSeen, dayShown] = [tape.holes.length, tape.date];
  if (now.bars) { look(); showStatus(); if (!now.bars.list.length) showEmpty("none"); }
});
$("progress-close").addEventListener("click", () => { progressClosed = true; $("progress").hidden = true; });

/* ---- Hands: pointer, keyboard, buttons, address ---- */

plot.onRange(({ from, to }) => {
  /* Before the chart stands where it opens nobody has gone to an edge. */
  if (now.ready && from < NEAR_EDGE) now.feed?.older();
  if (now.ready && to > now.slots.length - NEAR_EDGE) now.feed?.newer();
  if (now.bars) showBeginning();
  listSoon();
});
plot.onHover((slot) => { now.hover = slot; showBar(); });

/* The tier that has an interval which this reader has not; undefined where he has it. */
const lockOf = (interval) => $("intervals").querySelector(`button[value="${CSS.escape(interval)}"]`)?.dataset.tier;
const lockedWords = (interval) => `${INTERVALS[interval].tf} bars come with ${lockOf(interval)}. You have ${page.tier}.`;
$("intervals").addEventListener("click", (event) => {
  const value = event.target.closest("button")?.value;
  if (value && lockOf(value)) toast(lockedWords(value));
  else if (value && value !== now.interval) open(now.ticker, value);
});

/* Switch an indicator; answers why not, or "". */
function toggle(name) {
  const refused = choice.toggle(name);
  if (refused) return refused;
  rebuilt();
  history.replaceState(history.state, "", choice.write(new URL(location.href)));
  if (choice.has(name)) now.feed?.metrics([choice.catalogue.find(name)]);
  if (now.bars) showStatus();
  return "";
}

function rebuilt() {
  plot.rebuild();
  legend.build();
  legend.place();
  menu.follow();
  showBar();
}

function toNewest() {
  const { newer } = now.bars ?? {};
  Object.assign(now, { place: null, placed: null });
  history.replaceState(history.state, "", address());
  if (newer) { now.ready = false; open(now.ticker, now.interval, false); return; }
  plot.showNewest();
  hands.point(null);
}
$("to-newest").addEventListener("click", () => { toNewest(); $("plot").focus(); });

/* Where bars that are not the newest are in view: opened anew, the chart comes there again; who sees the newest has left
   the place that the address names. */
function inView() {
  const at = now.bars?.newer ? now.slots[Math.max(0, Math.ceil(plot.range()?.from ?? 0))] : null, from = at?.bar?.t ?? now.bars?.first?.t;
  if (!at || from === undefined) return plot.range()?.to >= lastAt() ? null : now.place;
  now.ready = false;
  return { from, to: from };
}

const hands = new Hands(now, plot, { last: lastAt, show: showBar, newest: toNewest, indicators: () => menu.open() });

document.addEventListener("bursa:display", ({ detail }) => {
  plot.recolor();
  if (detail.name === "numbers" && now.bars) { quote.draw(); draw("all"); legend.forget(); showBar(); listHoles(now.ledger.holes, time); titles(); }
});
addEventListener("popstate", () => {
  const query = new URLSearchParams(location.search), names = asked(location.search);
  if (names && names.join() !== choice.names.join()) { choice.set(names); rebuilt(); }
  const interval = query.get("interval");
  open((query.get("symbol") ?? page.ticker).split(":").at(-1).toUpperCase(), interval in INTERVALS && !lockOf(interval) ? interval : page.interval, false, query.has("at") ? named : null);
});
plot.onLayout(() => { legend.place(); showBar(); });

shell.open = (item) => {
  if (item.exchange !== facts.exchange) location.assign(`/chart?${new URLSearchParams({ symbol: `${item.exchange}:${item.symbol}`, interval: now.interval })}`);
  else open(item.symbol, now.interval);
};

history.replaceState(history.state, "", ["ticker", "tf"].some((other) => new URLSearchParams(location.search).has(other)) ? address() : choice.write(new URL(location.href)));
if (page.refused) toast(`${lockedWords(page.refused)} ${INTERVALS[page.interval].tf} bars are shown.`);
if (wanted && choice.left.length) toast(choice.left.slice(0, TOLD_MAX).join(" "), true);
if (page.state !== "unknown") open(now.ticker, now.interval, false);
