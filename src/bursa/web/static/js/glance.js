/* The overview's panels beside its lists: headline, breadth, totals, indices, session, what is missing, other
   venues. Each function draws one panel from an answer of /web/overview or /web/tape. */

import { $, lean, mark, node, put, shape, tick } from "./dom.js";
import { age, clockMinutes, clockSeconds, compact, day, dayShort, direction, fixed, money, percent, signed, span, volume } from "./format.js";

const HOLES = 4, LONG_MS = 12 * 3600_000;

const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const changeOf = ({ value, prev }) => (value === null || prev === null || !prev ? null : (value / prev - 1) * 100);
const wash = (before, now) => (now > before ? "b-tick-up" : "b-tick-down");

/* A change in percent, with its direction. */
function change(element, percents) {
  put(element, percents === null ? "" : percent(percents));
  lean(element, percents === null ? "" : direction(percents, 2));
}

/** "as of 14:32:07"; after the day's last session "close of Tue 18 Nov". `now`: ms on the venue's clock. */
export function asOf(body, now) {
  const at = body.headline?.at || body.as_of;
  if (!at) return "";
  const local = at / 1000 + body.offset_s;
  return now >= (body.trading.at(-1)?.[1] ?? Infinity) ? `close of ${day(local)}` : `as of ${clockSeconds(local)}`;
}

/** What leads the page: value and change. So large a figure is not washed when it ticks. */
export function headline(body, now) {
  const head = body.headline;
  put($("h-code"), head?.code ?? "");
  $("h-code").hidden = !head;
  if (head) {
    named(head);
    put($("h-value"), fixed(head.value, head.decimals));
    const percents = changeOf(head), points = percents === null ? null : head.value - head.prev;
    change($("h-percent"), percents);
    put($("h-change"), points === null ? "" : signed(points, head.decimals));
    lean($("h-change"), points === null ? "" : direction(points, head.decimals));
  }
  put($("h-asof"), asOf(body, now));
}

/* An instrument leads to its chart; an index has none. */
function named(head) {
  if (!head.chart) { put($("h-name"), head.name); return; }
  const link = $("h-name").querySelector("a") ?? node("a", "b-tk");
  mark(link, "href", `/chart?${new URLSearchParams({ symbol: `${$("page").dataset.exchange}:${head.code}` })}`);
  put(link, head.name);
  if (!link.isConnected) $("h-name").replaceChildren(link);
}

/** Breadth and totals. facts: {currency, unit, volumeDecimals}. */
export function totals({ breadth: b, totals: t }, facts) {
  const all = b.up + b.unchanged + b.down;
  let x = 0;
  [b.up, b.unchanged, b.down].forEach((n, i) => {
    const rect = $("breadth").children[i], width = all ? (n / all) * 100 : 0;
    mark(rect, "x", `${x.toFixed(2)}%`);
    mark(rect, "width", `${width.toFixed(2)}%`);
    x += width;
  });
  mark($("breadth"), "aria-label", `${b.up} up, ${b.unchanged} unchanged, ${b.down} down, ${b.untraded} without a trade`);
  put($("n-up"), `▲ ${fixed(b.up, 0)} up`);
  put($("n-flat"), `${fixed(b.unchanged, 0)} unchanged${b.untraded ? `, ${fixed(b.untraded, 0)} not traded` : ""}`);
  put($("n-down"), `${fixed(b.down, 0)} down ▼`);
  put($("t-value"), money(t.value, facts.currency));
  put($("t-usual"), t.usual === null ? "" : `${fixed(t.usual, 1)}× usual`);
  put($("t-volume"), volume(t.volume, facts));
  put($("t-trades"), compact(t.trades));
  put($("t-high"), `▲ ${fixed(b.at_high, 0)}`);
  put($("t-low"), `▼ ${fixed(b.at_low, 0)}`);
}

/** The indices, rows changed in place. */
export function indices(body) {
  const rows = $("indices-rows"), washes = [];
  $("indices").hidden = !body.indices.length;
  body.indices.forEach((index, i) => {
    let row = rows.rows[i];
    if (row?.dataset.key !== index.code) {
      const fresh = node("tr");
      fresh.dataset.key = index.code;
      const last = node("td", "num");
      last.append(node("span", "b-chg"));
      fresh.append(node("td", "b-strong", index.code), node("td", "num"), last);
      if (row) row.replaceWith(fresh);
      else rows.append(fresh);
      row = fresh;
    }
    put(row.cells[1], fixed(index.value, 2));
    change(row.cells[2].firstChild, changeOf(index));
    if (row.value !== undefined && row.value !== index.value) washes.push([row.cells[1], wash(row.value, index.value)]);
    row.value = index.value;
  });
  while (rows.rows.length > body.indices.length) rows.lastChild.remove();
  tick(washes);
}

/** What the venue does now and next. tape: of /web/tape; next: opening of the next trading session in ms. */
export function session(tape, next, now) {
  const local = (ms) => ms / 1000 + tape.offset_s;
  const until = (ms) => (ms - now < LONG_MS && ms > now ? `, in ${span((ms - now) / 1000)}` : "");
  const current = tape.sessions.find((s) => s.from <= now && now < s.to);
  put($("s-day"), day(Date.parse(tape.date) / 1000));
  put($("s-state"), current ? capital(current.name) : "Closed");
  const always = tape.sessions.length === 1 && tape.sessions[0].to - tape.sessions[0].from >= 86_400_000;
  if (always) put($("s-next"), "round the clock");
  else if (current) put($("s-next"), `until ${clockMinutes(local(current.to))}${until(current.to)}`);
  else {
    const sameDay = day(local(next)) === day(local(now));
    put($("s-next"), `opens ${sameDay ? "" : `${day(local(next))} `}${clockMinutes(local(next))}${until(next)}`);
  }
  const list = $("s-phases");
  list.hidden = always;
  tape.sessions.forEach((s, i) => {
    let item = list.children[i];
    if (!item) { item = node("li"); item.append(node("span"), node("time")); list.append(item); }
    put(item.firstChild, capital(s.name));
    put(item.lastChild, `${clockMinutes(local(s.from))}–${clockMinutes(local(s.to))}`);
    mark(item, "data-when", s.to <= now ? "past" : s === current ? "now" : "next");
    mark(item, "aria-current", s === current ? "time" : null);
  });
  while (list.children.length > tape.sessions.length) list.lastChild.remove();
}

function note(look, fact, rest) {
  const out = node("div", `b-note b-note--${look}`), icon = shape("svg", { class: "b-i", "aria-hidden": "true" }), text = node("span");
  icon.append(shape("use", { href: "#i-warn" }));
  text.append(node("b", "", fact), ` ${rest}`);
  out.append(icon, text);
  return out;
}

/** What is missing today, and what becomes of it. */
export function data(tape, box = $("data")) {
  const hm = (ms) => clockMinutes(ms / 1000 + tape.offset_s), seconds = (ms) => clockSeconds(ms / 1000 + tape.offset_s);
  const state = JSON.stringify([tape.holes, tape.away, tape.fresh, tape.starting, document.documentElement.dataset.numbers]);
  if (box.state === state) return;
  box.state = state;
  const out = [];
  if (tape.starting) out.push(note("gap", "bursa starts.", `It waits for ${tape.starting}. Figures come when that is done.`));
  if (tape.away.length) {
    const since = tape.away.map((a) => `on ${a.channel} ${a.since ? `since ${seconds(a.since)}` : "yet"}`).join(", ");
    const next = tape.fresh === "stale" ? "The connection stands, and is silent." : "The connection is tried again and again; what was missed is asked for when it is back.";
    out.push(note("gap", `Nothing came ${since}.`, next));
  }
  for (const h of tape.holes.slice(-HOLES).reverse()) {
    const minutes = hm(h.from) !== hm(h.to), time = minutes ? hm : seconds;
    const seq = h.seq?.[0] ? ` Messages ${fixed(h.seq[0], 0)} to ${fixed(h.seq[1], 0)} never came.` : "";
    out.push(note("gap", `${time(h.from)} to ${time(h.to)} is missing on ${h.channel}.`, `${capital(span((h.to - h.from) / 1000))}.${seq} Figures of those minutes are not whole.`));
  }
  if (tape.holes.length > HOLES) out.push(node("p", "b-small b-faint", `and ${tape.holes.length - HOLES} more before`));
  if (!out.length) {
    const words = { none: "No feed is configured. These are the newest figures in the store.", wait: "Nothing is missing so far.", closed: "Nothing is missing." }[tape.fresh] ?? "Nothing is missing so far today.";
    const line = node("p", "b-fresh");
    line.dataset.state = tape.fresh === "none" ? "closed" : "ok";
    line.append(node("span", "", words));
    out.push(line);
  }
  box.replaceChildren(...out);
}

/** Past days that stream in before the present one. */
export function progress({ progress: p }) {
  $("progress").hidden = !p;
  if (!p) return;
  put($("progress-text"), `Past days are streaming in: day ${p.day} of ${p.days}, to ${dayShort(Date.parse(p.date) / 1000)}`);
  mark($("progress-bar"), "width", `${((p.day / p.days) * 100).toFixed(1)}%`);
}

const OTHER = {
  live: (v) => ["live", `${v.session} · ${age(v.age_ms)}`], stale: (v) => ["stale", `silent for ${age(v.age_ms)}`], cut: () => ["bad", "feed away"],
  closed: (v) => ["closed", `opens ${clockMinutes(v.opens / 1000 + v.offset_s)} ${v.zone}`], wait: () => ["wait", "waiting"], start: () => ["wait", "starting"], none: () => ["closed", "no feed"],
};

/** The other venues, one line each; each is a link to its own overview. */
export function venues({ venues: list }) {
  const box = $("venues-rows");
  $("venues").hidden = !list.length;
  list.forEach((venue, i) => {
    let row = box.children[i];
    if (!row) {
      row = node("a", "o-venue");
      const figure = node("span", "b-muted"), moved = node("span");
      figure.append(node("span"), " ", node("span"));
      moved.append(node("span", "b-chg"));
      row.append(node("b", "b-trunc"), node("span", "b-fresh"), figure, moved);
      box.append(row);
    }
    const [title, fresh, figure, moved] = row.children, head = venue.headline, [state, words] = OTHER[venue.fresh](venue);
    mark(row, "href", `/?${new URLSearchParams({ venue: venue.venue })}`);
    put(title, venue.title);
    mark(fresh, "data-state", state);
    put(fresh, words);
    put(figure.firstChild, head?.code ?? "");
    put(figure.lastChild, head ? fixed(head.value, head.decimals) : "");
    change(moved.firstChild, head ? changeOf(head) : null);
  });
  while (box.children.length > list.length) box.lastChild.remove();
}
