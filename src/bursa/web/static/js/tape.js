/* The day tape, the venue's clock and the freshness badge, from /web/tape. Draws the venue's day to
   scale: sessions, message rate as a pulse, holes hatched, backfills banded, now as a line. */

import { tape as fetchTape } from "./api.js";
import { $, shape } from "./dom.js";
import { age, clockMinutes, clockSeconds, compact, day, span } from "./format.js";
import { say } from "./say.js";

const POLL_MS = 2000, POLL_HIDDEN_MS = 15_000, SOON_MS = 300;
const PULSE_TOP = 26, VIEW = 30;

const title = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** The tape's SVG children for a day; `d` is an answer of /web/tape. Pure. */
export function drawTape(d) {
  const from = d.sessions[0].from, to = d.sessions.at(-1).to, whole = to - from;
  const at = (ms) => (((Math.min(Math.max(ms, from), to) - from) / whole) * 100).toFixed(2) + "%";
  const wide = (a, b) => (((Math.min(b, to) - Math.max(a, from)) / whole) * 100).toFixed(2) + "%";
  const inside = ({ from: a, to: b }) => b > from && a < to;
  const local = (ms) => ms / 1000 + d.offset_s;
  const out = d.sessions.map((s) => shape("rect", { class: s.trading ? "tp-on" : "tp-off", x: at(s.from), width: wide(s.from, s.to), height: "100%" }));
  for (const s of d.sessions.slice(1)) out.push(shape("line", { class: "tp-edge", x1: at(s.from), x2: at(s.from), y1: 0, y2: "100%" }));
  out.push(pulse(d, from, whole));
  for (const b of d.backfilled.filter(inside)) {
    out.push(shape("rect", { class: "tp-backw", x: at(b.from), width: wide(b.from, b.to), height: "100%" }));
    out.push(shape("rect", { class: "tp-back", x: at(b.from), width: wide(b.from, b.to), y: "87%", height: "13%" }));
  }
  for (const h of d.holes.filter(inside)) for (const kind of ["tp-gapw", "tp-gap"]) out.push(shape("rect", { class: kind, x: at(h.from), width: wide(h.from, Math.max(h.to, h.from + whole / 500)), height: "100%" }));
  for (const a of awaySpans(d)) if (inside(a)) for (const kind of ["tp-gapw", "tp-gap tp-away"]) out.push(shape("rect", { class: kind, x: at(a.from), width: wide(a.from, Math.max(a.to, a.from + whole / 500)), height: "100%" }));
  const now = d.now >= from && d.now < to;
  const label = (ms) => shape("text", { class: "tp-t b-p2", x: at(ms), dx: 4, y: 11 }, clockMinutes(local(ms)));
  const near = (ms) => now && Math.abs(ms - d.now) < whole / 14;
  if (whole >= 20 * 3600_000) for (let h = 3; h < 24; h += 3) { const ms = from + h * 3600_000; if (!near(ms)) out.push(label(ms)); }
  else {
    /* Where trading begins or stops; of two that would lie on one another the earlier. */
    let last = -Infinity;
    d.sessions.forEach((s, i) => {
      if (i === 0 || !(s.trading || d.sessions[i - 1].trading) || s.from - last < whole / 25 || near(s.from)) return;
      out.push(label(s.from));
      last = s.from;
    });
  }
  if (now) {
    out.push(shape("line", { class: "tp-now", x1: at(d.now), x2: at(d.now), y1: 0, y2: "100%" }));
    /* Near the right end the words stand before the line. */
    const late = (d.now - from) / whole > 0.88;
    out.push(shape("text", { class: "tp-t tp-t--now b-p2", x: at(d.now), dx: late ? -5 : 5, y: 11, "text-anchor": late ? "end" : "start" }, title(d.session)));
  }
  return out;
}

/* Bars of up to one a two units; the height is the square root of the rate, so that a quiet noon still shows. */
function pulse(d, from, whole) {
  const { counts, step } = d.minutes, units = 450, columns = 225, sums = new Array(columns).fill(0);
  counts.forEach((n, i) => { const c = Math.floor(((d.minutes.from + (i + 0.5) * step - from) / whole) * columns); if (c >= 0 && c < columns) sums[c] += n; });
  const most = Math.max(...sums, 1);
  const path = sums.map((n, c) => (n ? `M${c * 2 + 1} ${VIEW}v${-Math.max(0.8, Math.sqrt(n / most) * PULSE_TOP * 0.75).toFixed(1)}` : "")).join("");
  const box = shape("svg", { viewBox: `0 0 ${units} ${VIEW}`, preserveAspectRatio: "none", width: "100%", height: "100%" });
  box.append(shape("path", { class: "tp-pulse", d: path }));
  return box;
}

/** One sentence for who cannot see the tape. */
export function describeTape(d) {
  const hm = (ms) => clockMinutes(ms / 1000 + d.offset_s);
  const ranges = (list) => list.map((r) => `${hm(r.from)} to ${hm(r.to)}`).join(", ");
  const parts = [`Trading day ${hm(d.sessions[0].from)} to ${hm(d.sessions.at(-1).to)} ${d.zone}.`, `Now ${hm(d.now)}, ${d.session}.`];
  if (d.holes.length) parts.push(`Missing ${ranges(d.holes)}.`);
  for (const a of awaySpans(d)) parts.push(`Not received yet: ${hm(a.from)} to ${hm(a.to)}.`);
  if (d.backfilled.length) parts.push(`Backfilled ${ranges(d.backfilled)}.`);
  return parts.join(" ");
}

/* What is not received yet: from the last that was heard of a channel that is away to the venue's clock;
   of several the longest. */
function awaySpans(d) {
  const since = Math.min(...d.away.map((a) => a.since ?? Infinity));
  return since < d.now ? [{ from: since, to: d.now }] : [];
}

/** Total of the holes in seconds, overlaps counted once. */
export function missingSeconds(holes) {
  let total = 0, end = -Infinity;
  for (const h of [...holes].sort((a, b) => a.from - b.from)) { if (h.to > end) { total += h.to - Math.max(h.from, end); end = h.to; } }
  return total / 1000;
}

const WORDS = {
  live: () => ["live", "live", true], stale: () => ["stale", "silent for", true], cut: () => ["bad", "feed away", false],
  closed: (d) => ["closed", d.opens ? `opens ${clockMinutes(d.opens / 1000 + d.offset_s)}` : d.session, false],
  start: () => ["wait", "starting", false], wait: (d) => ["wait", d.progress ? "past days" : "waiting", false], none: () => ["closed", "no feed", false],
  gone: () => ["bad", "no connection", false], silent: () => ["stale", "stream cut", false],
};
const SPOKEN = { stale: "The feed is silent.", cut: "The feed is away.", gone: "The connection to the server is cut.", silent: "The stream is cut; it reconnects.", live: "The feed is live again." };

/** Polls the tape, keeps badge and clock. Tells the page by events on the document: "bursa:tape" with each
    answer, "bursa:away" when `away` may have changed. */
export class TapeWatch {
  constructor(venue) {
    this.venue = venue;
    this.latest = null;
    this.gone = false;
    this.streamCut = false;
    this.lostAt = null;
    this.polling = false;
    this.shown = "";
    this.asked = 0;
    this.speed = 1;
    this.holes = 0;
  }

  start() {
    setInterval(() => this.tick(), 250);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.poll(); });
    this.poll();
  }

  async poll() {
    if (this.polling) return;
    this.polling = true;
    clearTimeout(this.timer);
    try {
      const fresh = await fetchTape(this.venue);
      this.gone = false;
      this.lose();
      this.take(fresh);
    } catch {
      this.gone = true;
      this.lose();
    } finally { this.polling = false; }
    this.badge();
    document.dispatchEvent(new Event("bursa:away"));
    this.timer = setTimeout(() => this.poll(), document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  }

  /** Ask again at once, unless that was done a moment ago. */
  soon() { if (performance.now() - this.asked > SOON_MS) this.poll(); }

  take(d) {
    const at = performance.now();
    if (this.latest) {
      /* A demo's clock may run fast, and jumps over nights: the clock follows what was last seen. */
      const pace = (d.now - this.latest.now) / (at - this.asked);
      this.speed = pace >= 0 && pace < 100 ? pace : 0;
    }
    this.asked = at;
    this.latest = d;
    $("tape-plot").replaceChildren(...drawTape(d));
    $("tape-plot").setAttribute("aria-label", describeTape(d));
    $("tape-date").textContent = day(Date.parse(d.date) / 1000);
    $("tape-rate").textContent = compact(d.rate, d.rate < 10 ? 1 : 0) + " msg/s";
    const missing = missingSeconds(d.holes), box = $("tape-missing");
    box.hidden = missing === 0;
    box.textContent = `${span(missing)} missing`;
    if (d.holes.length > this.holes) say(`Data went missing: ${span(missing)} today.`, true);
    this.holes = d.holes.length;
    const offset = d.offset_s / 3600, utc = `UTC${offset ? (offset > 0 ? "+" : "\u2212") + Math.abs(offset) : ""}`;
    $("foot-zone").textContent = d.zone === utc ? utc : `${d.zone}, ${utc}`;
    document.dispatchEvent(new CustomEvent("bursa:tape", { detail: d }));
    this.tick();
  }

  /** The venue's clock in ms, null before the first answer. Without answers a clock of the usual pace
      goes on; one that runs fast, or jumps, may be anywhere. */
  now() {
    const d = this.latest, elapsed = performance.now() - this.asked;
    if (!d) return null;
    return d.now + (elapsed < 3 * POLL_MS || Math.abs(this.speed - 1) < 0.05 ? elapsed * this.speed : 0);
  }

  /** Why bars may be missing at the end, or null: {why: "feed" | "silent" | "stream" | "server", since} with
      `since` in ms on the venue's clock, null where nothing was ever heard. Channels without trades do not count. */
  get away() {
    const d = this.latest, mine = this.gone ? "server" : this.streamCut ? "stream" : null;
    const cut = (d?.away ?? []).filter((a) => a.trades).map((a) => a.since ?? Infinity);
    const since = Math.min(...cut, mine ? this.lostAt ?? Infinity : Infinity);
    const why = mine ?? (cut.length ? (d.fresh === "stale" ? "silent" : "feed") : null);
    return why && { why, since: since === Infinity ? null : since };
  }

  /* When the page itself began to hear nothing. */
  lose() { this.lostAt = this.gone || this.streamCut ? this.lostAt ?? (this.gone ? this.latest?.now : this.now()) ?? null : null; }

  tick() {
    if (!this.latest) return;
    const now = this.now(), d = this.latest;
    const time = $("clock").firstElementChild;
    const words = clockSeconds(now / 1000 + d.offset_s);
    if (time.textContent !== words) { time.textContent = words; time.dateTime = new Date(now).toISOString(); }
  }

  /** The page's own stream is cut or back. */
  stream(cut) { this.streamCut = cut; this.lose(); this.badge(); document.dispatchEvent(new Event("bursa:away")); }

  badge() {
    const d = this.latest, box = $("fresh");
    if (!d && !this.gone) return;
    const state = this.gone ? "gone" : this.streamCut && d.fresh !== "none" ? "silent" : d.fresh;
    const [look, words, withAge] = WORDS[state](d);
    box.dataset.state = look;
    const text = document.createElement("span");
    text.textContent = words;
    if (withAge) {
      const old = document.createElement("span");
      if (look === "live") old.className = "b-p2 f-age";
      old.textContent = " " + age(d.age_ms);
      text.append(old);
    }
    box.replaceChildren(text);
    if (this.shown && this.shown !== state && SPOKEN[state]) say(SPOKEN[state], state !== "live");
    this.shown = state;
  }
}
