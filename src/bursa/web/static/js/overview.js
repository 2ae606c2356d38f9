/* The overview: takes the first figures from the page itself, then asks for newer ones each second, and has
   each panel draw what changed. Times are ms since 1970 UTC unless a name says otherwise. */

import { overview } from "./api.js";
import { DayPlot } from "./dayplot.js";
import { keysCount } from "./display.js";
import { $, put } from "./dom.js";
import { clockMinutes, clockSeconds, fixed, percent } from "./format.js";
import { data, headline, indices, progress, session, totals, venues } from "./glance.js";
import { Ranks, walk } from "./ranks.js";
import { shell } from "./shell.js";

const POLL_MS = 1000, POLL_HIDDEN_MS = 10_000, PATIENCE_MS = 10_000;
const ARROWS = { ArrowDown: 1, ArrowUp: -1 }, LETTERS = { j: 1, k: -1 };

const page = $("page").dataset;
const facts = {
  exchange: page.exchange, currency: page.currency, unit: Number(page.volumeUnit), volumeDecimals: Number(page.volumeDecimals),
  sign: page.currency ? `${page.currency} ` : "",
};
const lists = [...document.querySelectorAll(".o-list")].map((panel) => new Ranks(panel, facts));
const plot = new DayPlot({ box: $("plot"), area: $("plot-area"), axis: $("plot-axis"), foot: $("plot-foot") });
const title = document.title;
let body = null, day = null, failed = false, timer = 0;

/** The venue's clock: the tape's, and before its first answer what came with the page. */
const now = () => shell.tape.now() ?? day.now;

function draw() {
  const empty = !body.instruments && !body.as_of;
  $("greet").hidden = !empty;
  $("page").hidden = empty;
  headline(body, now());
  plot.draw(body);
  totals(body, facts);
  indices(body);
  venues(body);
  for (const list of lists) list.take(body.lists[list.list] ?? [], body.rows, body.spark_lost, nothing());
  const head = body.headline;
  document.title = head && head.value !== null ? `${head.code} ${fixed(head.value, head.decimals)}${head.prev ? ` ${percent((head.value / head.prev - 1) * 100)}` : ""} · bursa` : title;
}

/* Why a list is empty. */
function nothing() {
  if (body.totals.trades) return "None today.";
  const opens = clockMinutes(body.next_open / 1000 + body.offset_s);
  return body.trading.some(([from, to]) => from <= now() && now() < to) ? "Nothing has traded yet." : `Nothing has traded yet. Trading begins at ${opens}.`;
}

/* Panels whose figures are older than the page say so. */
function aged() {
  const old = failed || Boolean(shell.tape.away);
  for (const box of document.querySelectorAll("[data-aged]")) {
    box.hidden = !old || !body.as_of;
    put(box, box.hidden ? "" : `as of ${clockSeconds(body.as_of / 1000 + body.offset_s)}`);
  }
  $("h-asof").classList.toggle("b-warn", old);
}

function drawDay() {
  session(day, body.next_open, now());
  data(day);
  progress(day);
}

async function poll() {
  clearTimeout(timer);
  try {
    body = await overview(page.venue, AbortSignal.timeout(PATIENCE_MS));
    failed = false;
    draw();
  } catch (error) {
    if (!["AbortError", "TimeoutError"].includes(error.name) && error.code === undefined) throw error;
    failed = true;
  } finally { timer = setTimeout(poll, document.hidden ? POLL_HIDDEN_MS : POLL_MS); }
  aged();
}

document.addEventListener("bursa:tape", ({ detail }) => { day = detail; drawDay(); aged(); });
document.addEventListener("bursa:away", aged);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
document.addEventListener("bursa:display", ({ detail }) => {
  if (detail.name !== "numbers") return;
  for (const list of lists) list.reprint();
  draw();
  drawDay();
});
document.addEventListener("keydown", (event) => {
  const inside = event.target.closest?.("[data-list]") && !event.ctrlKey && !event.metaKey && !event.altKey;
  const by = (keysCount(event) && !event.shiftKey && LETTERS[event.key]) || (inside && ARROWS[event.key]);
  if (by && walk(lists, by)) event.preventDefault();
});

const first = JSON.parse($("first").textContent);
body = first.overview;
day = first.tape;
draw();
drawDay();
timer = setTimeout(poll, POLL_MS);
