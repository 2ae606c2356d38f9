/* What is whole and what is not, in words: the line under the chart, the list of what is missing, and
   the newest bars as a table (the chart's figures for who cannot see it). */

import { clockMinutes, clockSeconds, day, dayShort, dayYear, direction, fixed, percent, share, span, volume } from "./format.js";

const HOLES = 5;
const $ = (id) => document.getElementById(id);

function words(id, text, shown = true) {
  const box = $(id);
  box.hidden = !shown;
  const line = box.querySelector("span") ?? box;
  if (line.textContent !== text) line.textContent = text;
}

/** The line. total: {received, backfilled, empty, missing} in minutes of the range; holes: its missing ranges;
    pending: what is not received yet (bars.js), or null. */
export function statusLine(total, holes, pending) {
  const all = total ? total.received + total.backfilled + total.empty + total.missing : 0;
  const part = (n) => (all ? share(n / all) : "\u2013");
  words("st-received", `received ${part(total?.received)}`);
  words("st-back", `backfilled ${part(total?.backfilled)}`, Boolean(total?.backfilled));
  words("st-empty", `no trades ${part(total?.empty)}`);
  const some = pending ? `not received yet${pending.to - pending.from < 60 ? "" : ` ${span(pending.to - pending.from)}`}` : holes.length ? "messages missing" : "nothing missing";
  words("st-missing", !total ? "missing \u2013" : total.missing ? `missing ${span(total.missing * 60)}` : some);
  $("st-missing").classList.toggle("b-gapc", Boolean(total?.missing || holes.length || pending));
  const ranged = holes.filter((hole) => hole.seqFrom), [first, last] = [ranged[0], ranged.at(-1)];
  words("st-seq", first ? `seq ${fixed(first.seqFrom, 0)} to ${fixed(last.seqTo, 0)}${ranged.length > 1 ? `, ${ranged.length} holes` : ""} on ${first.channel}` : "");
}

const AWAY = { feed: "feed away", silent: "feed silent", stream: "stream cut", server: "no connection" };

/** "feed away since 10:31:07"; `away`: tape.js's, null where all comes as it should. */
export function awayWords(away, time) {
  if (!away) return "";
  return AWAY[away.why] + (away.since === null ? "" : ` since ${clockSeconds(time.local(away.since / 1000))}`);
}

/** "last bar 14:30, open · rev 1"; what is away stands in the place of whether it is open. newer: there are more behind it. */
export function lastBar(bar, long, away = "", newer = false) {
  $("st-last").classList.toggle("b-gapc", Boolean(away));
  $("to-newest").hidden = !newer;
  if (newer) { words("st-last", `to ${long ? dayYear(bar.x) : `${day(bar.x)} ${clockMinutes(bar.x)}`}; newer ones follow`); return; }
  if (!bar) { words("st-last", away); return; }
  const when = long ? day(bar.x) : clockMinutes(bar.x);
  if (away) words("st-last", `${away} \u00b7 last bar ${when}`);
  else words("st-last", `last bar ${when}, ${bar.final === false ? "open" : "closed"}${bar.rev === undefined ? "" : ` \u00b7 rev ${bar.rev}`}`);
}

/** Words of a hole for the chart: {label, short}. `time`: VenueTime. */
export function holeWords(hole, time) {
  const from = time.local(hole.from), to = time.local(hole.to), long = span(hole.to - hole.from);
  if (hole.pending) return { short: "not received yet", label: hole.to - hole.from < 60 ? "not received yet" : `not received yet \u00b7 ${long}` };
  if (hole.part) return { short: "messages lost", label: `messages lost \u00b7 ${long}` };
  const short = `no data ${clockMinutes(from)}\u2013${clockMinutes(to)}`;
  return { short, label: `${short} \u00b7 ${long}` };
}

/** The list of holes beside the chart; hidden when there are none. */
export function listHoles(holes, time) {
  const more = holes.length - HOLES;
  $("holes").hidden = holes.length === 0;
  $("holes-more").textContent = more > 0 ? `and ${more} more before` : "";
  $("holes-list").replaceChildren(...holes.slice(-HOLES).reverse().map((hole) => {
    const item = document.createElement("li"), fact = document.createElement("b");
    item.className = "b-note b-note--gap";
    const from = time.local(hole.from), to = time.local(hole.to);
    const clock = hole.part ? clockSeconds : clockMinutes;
    fact.textContent = `${dayShort(from)}, ${clock(from)} to ${clock(to)} is missing${hole.channel ? ` on ${hole.channel}` : ""}.`;
    const long = span(hole.to - hole.from);
    const rest = hole.channel ? ` ${long}, seq ${fixed(hole.seqFrom, 0)} to ${fixed(hole.seqTo, 0)}.` : ` ${long}. Nothing proves that the feed was heard.`;
    const text = document.createElement("span");
    text.append(fact, rest);
    item.append(text);
    return item;
  }));
}

function cell(text, className) {
  const out = document.createElement("td");
  out.textContent = text;
  if (className) out.className = className;
  return out;
}

const dated = (x) => `${dayShort(x)} ${clockMinutes(x)}`;

/* `newest`: no bar of its day stands above it, but one of a later day does. */
function barRow(slot, before, newest, { facts, long }) {
  const row = document.createElement("tr"), { bar } = slot;
  row.dataset.x = slot.x;
  if (!bar) {
    const gap = cell("no data", "b-gapc");
    gap.colSpan = 3;
    row.append(cell(newest ? dated(slot.x) : clockMinutes(slot.x), "b-faint"), gap);
    return row;
  }
  const change = before ? (bar.c / before.c - 1) * 100 : null;
  const time = cell(long ? dayYear(bar.x).slice(4) : clockMinutes(bar.x), "b-faint");
  if (newest) time.textContent = dated(bar.x);
  const moved = cell(percent(change), `num b-chg ${change === null ? "" : direction(change, 2)}`);
  row.append(time, cell(fixed(bar.c, facts.priceDecimals), "num"), moved, cell(volume(bar.v, facts), "num"));
  if (slot.late) row.title = "backfilled";
  else if (bar.final === false) row.title = "open";
  else if (bar.rev > 0) row.title = `revision ${bar.rev}`;
  return row;
}

function pendingRow({ from, to }, { time }) {
  const row = document.createElement("tr"), rest = cell("not received yet", "b-gapc");
  rest.colSpan = 3;
  const [first, last] = [from, to].map((at) => clockMinutes(time.local(at)));
  row.append(cell(first === last ? first : `${first}\u2013${last}`, "b-faint"), rest);
  return row;
}

/** Bars up to the last of these slots, newest first, `most` of them; `only`: just the last two changed, or one came behind
    them. context: {facts, long, time, pending}, `pending` being what bars.js says is not received yet. */
export function barTable(slots, context, most, only = false) {
  const body = $("bars"), last = slots.length - 1;
  const make = (i) => {
    let before = i - 1;
    while (before >= 0 && !slots[before].bar) before -= 1;
    return barRow(slots[i], slots[before]?.bar, slots[i + 1]?.first, context);
  };
  const top = Number(body.firstChild?.dataset.x);
  if (only && last > 0 && (top === slots[last].x || top === slots[last - 1].x)) {
    if (top !== slots[last].x) body.prepend(make(last));
    for (const [row, i] of [[0, last], [1, last - 1]]) if (body.rows[row]) renew(body.rows[row], make(i));
    if (body.childElementCount > most) body.lastChild.remove();
    return;
  }
  const rows = context.pending ? [pendingRow(context.pending, context)] : [];
  for (let i = last; i >= 0 && rows.length < most; i--) rows.push(make(i));
  const chosen = body.querySelector("[aria-selected]")?.dataset.x;
  body.replaceChildren(...rows);
  if (chosen) body.querySelector(`[data-x="${chosen}"]`)?.setAttribute("aria-selected", "true");
}

function renew(old, fresh) {
  if (old.hasAttribute("aria-selected")) fresh.setAttribute("aria-selected", "true");
  old.replaceWith(fresh);
}

/** A chart in a sentence, for who cannot see it. told: {change, decimals, metrics}: in percent since the day before, how
    prices print, which metrics are drawn. */
export function describes(ticker, { list, last, first, tf, pending }, { holes, backfilled }, { change, decimals, metrics }, time) {
  if (!list.length) return `${ticker}: no bars yet`;
  const words = { "b-up": "up", "b-down": "down", "b-flat": "unchanged" }[direction(change, 2)];
  const parts = [`${ticker} ${tf} candles from ${day(first.x)} to ${day(last.x)}, last ${fixed(last.c, decimals)}`];
  if (change !== null) parts.push(`${words} ${percent(change)}`);
  const [missing, late] = [holes, backfilled].map((ranges) => ranges.slice(-3).map(({ from, to }) => `${clockMinutes(time.local(from))} to ${clockMinutes(time.local(to))}`).join(", "));
  const shown = metrics.map(({ title }) => title).join(", ");
  return `${parts.join(", ")}.${shown ? ` Indicators: ${shown}.` : ""}${missing ? ` Missing ${missing}.` : ""}${late ? ` Backfilled ${late}.` : ""}${pending ? ` Not received since ${clockSeconds(time.local(pending.from))}.` : ""}`;
}

/** What stands in place of a chart that could not be read, and what is done about it: elements. wait: seconds until it is
    asked again by itself, 0 for not at all. */
export function notRead(error, wait, again) {
  const fact = document.createElement("b"), rest = document.createElement("span"), button = document.createElement("button");
  fact.textContent = "The chart could not be read";
  const said = error.message.replace(/\.$/, ""), why = `${said.charAt(0).toUpperCase()}${said.slice(1)}${error.code === "unreachable" ? "" : ` (${error.status || error.code})`}.`;
  rest.textContent = wait ? `${why} It is asked again every ${wait} s.` : why;
  Object.assign(button, { className: "b-btn b-btn--go", type: "button", textContent: "Try again" });
  button.addEventListener("click", again);
  return [fact, rest, button];
}

/** What stands in place of a chart that has no bars, and why: two elements. */
export function nothingYet(ticker, tape) {
  const fact = document.createElement("b"), rest = document.createElement("span");
  fact.textContent = ticker ? `No bars of ${ticker} yet` : "Nothing has come in yet";
  rest.textContent = tape?.fresh === "start" ? `bursa starts, and waits for ${tape.starting}.` : tape?.fresh === "cut" ? "The feed is away. The chart starts by itself with the first bar." : tape?.fresh === "none"
    ? "No feed is configured. \u201cbursa up --demo\u201d starts one; \u201cbursa replay\u201d reads a recording."
    : tape?.opens ? `The first bar closes a minute after trading begins at ${clockMinutes(tape.opens / 1000 + tape.offset_s)}.` : "The chart starts by itself with the first bar.";
  return [fact, rest];
}
