// What may never be seen of a chart: judged bar by bar as they come, and at the end against a fresh history.

const DAY = 86400, UTC_DAYS_LONG = new Set(["D", "1D", "W", "1W", "M", "1M"]);
const WEEKEND = new Set([0, 6]);

export class Finding extends Error {}

const fail = (text) => { throw new Finding(text); };
const iso = (s) => new Date(s * 1000).toISOString();
export const isLong = (resolution) => UTC_DAYS_LONG.has(resolution);

/** Trading hours of a symbol: sessions "0900-1200,1330-1616:2345|...", days from 1 = Sunday, or "24x7". */
export class Hours {
  constructor(session, timeZone) {
    this.always = session === "24x7";
    this.week = new Map();
    this.format = new Intl.DateTimeFormat("en-US", { timeZone, hourCycle: "h23", weekday: "short", hour: "2-digit", minute: "2-digit" });
    for (const part of this.always ? [] : session.split("|")) {
      const [text, days = "23456"] = part.split(":");
      if (!/^\d{4}-\d{4}(,\d{4}-\d{4})*$/.test(text) || !/^[1-7]+$/.test(days)) fail(`session ${JSON.stringify(session)} is not in the library's grammar`);
      const ranges = text.split(",").map((range) => range.split("-").map((hm) => Number(hm.slice(0, 2)) * 60 + Number(hm.slice(2))));
      for (const day of days) this.week.set(Number(day) - 1, ranges);
    }
  }

  /** Does trading go on at a second? */
  has(seconds) {
    if (this.always) return true;
    const parts = Object.fromEntries(this.format.formatToParts(seconds * 1000).map(({ type, value }) => [type, value]));
    const day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].indexOf(parts.weekday), minute = Number(parts.hour) * 60 + Number(parts.minute);
    return (this.week.get(day) ?? []).some(([from, to]) => minute >= from && minute < to);
  }
}

/** One bar on its own. */
export function checkBar(bar, resolution, hours, where) {
  const { time, open, high, low, close, volume } = bar, at = `${where} ${iso(time)}`;
  if (!Number.isInteger(time)) fail(`${where}: time ${time} is no whole second`);
  for (const [name, value] of Object.entries({ open, high, low, close, volume })) if (!Number.isFinite(value)) fail(`${at}: ${name} is ${value}`);
  if (high < Math.max(open, close, low) || low > Math.min(open, close, high)) fail(`${at}: o ${open} h ${high} l ${low} c ${close} do not fit together`);
  if (low <= 0 || volume <= 0) fail(`${at}: low ${low}, volume ${volume}`);
  if (isLong(resolution)) {
    if (time % DAY !== 0) fail(`${at}: a long bar does not stand at 00:00 UTC`);
    if (!hours.always && WEEKEND.has(new Date(time * 1000).getUTCDay())) fail(`${at}: no trading day`);
  } else {
    if (time % 60 !== 0) fail(`${at}: no whole minute`);
    if (!hours.has(time)) fail(`${at}: outside the session`);
  }
}

/** Times that ascend strictly. */
export function checkOrder(bars, where) {
  for (let i = 1; i < bars.length; i++) if (bars[i].time <= bars[i - 1].time) fail(`${where}: ${iso(bars[i].time)} after ${iso(bars[i - 1].time)}`);
}

/** One subscription as a chart holds it: pages are put before, live bars behind. */
export class Series {
  /** moves: the market goes on while we compare. */
  constructor(resolution, hours, where, moves) {
    Object.assign(this, { resolution, hours, where, moves, bars: [], polls: [], updates: 0, added: 0, late: [] });
  }

  page(bars) {
    for (const bar of bars) checkBar(bar, this.resolution, this.hours, this.where);
    this.bars = [...bars, ...this.bars];
    checkOrder(this.bars, `${this.where}, page`);
  }

  /** As the library takes it: the last bar again, or one behind it; older ones it refuses. The one before the
      last comes only when a new one follows, and then it is the last that is held. */
  live(bar) {
    checkBar(bar, this.resolution, this.hours, this.where);
    const last = this.bars.at(-1);
    if (last && bar.time < last.time) fail(`${this.where}: ${iso(bar.time)} came live after ${iso(last.time)}`);
    if (last && bar.time === last.time) { this.bars[this.bars.length - 1] = bar; this.updates += 1; return; }
    this.bars.push(bar);
    this.added += 1;
  }

  /** Compare with a fresh history of the same range, and with what `late` says: seconds in which trades came
      after their bar had been left, which a poll of two bars cannot bring. Answers how many bars differ. */
  same(fresh) {
    const first = this.bars[0]?.time ?? Infinity, held = new Map(this.bars.map((bar) => [bar.time, bar]));
    checkOrder(fresh, `${this.where}, fresh history`);
    const known = new Set(fresh.map((bar) => bar.time));
    for (const { time } of this.bars) if (!known.has(time)) fail(`${this.where}: ${iso(time)} is on the chart, but not in a fresh history`);
    let differing = 0;
    fresh.filter((bar) => bar.time >= first).forEach((bar, i, all) => {
      checkBar(bar, this.resolution, this.hours, `${this.where}, fresh`);
      const mine = held.get(bar.time), end = all[i + 1]?.time ?? Infinity;
      const same = mine && ["open", "high", "low", "close", "volume"].every((name) => mine[name] === bar[name]);
      if (same) return;
      differing += 1;
      const revised = this.late.some((second) => second >= bar.time && second < end);
      if (!revised && !this.slept(bar.time, end)) fail(`${this.where}: ${iso(bar.time)} is ${mine ? JSON.stringify(mine) : "not"} on the chart, a fresh history says ${JSON.stringify(bar)}`);
    });
    return differing;
  }

  /* Was there no poll for a minute while the bar was the last one, or none since? Then we were too slow for the
     market, not the server wrong. */
  slept(time, end) {
    const { polls } = this;
    if (this.moves && polls.at(-1) < end) return true;
    for (let i = 1; i < polls.length; i++) if (polls[i - 1] < end && polls[i] > time && polls[i] - polls[i - 1] >= 60) return true;
    return false;
  }
}

/** Marks of bars: their form, and that each stands at a bar of `times`; the newest may not be there yet. */
export function checkMarks(marks, times, where) {
  const seen = new Set(), newest = Math.max(...times);
  for (const mark of marks) {
    if (mark.id === undefined || seen.has(mark.id)) fail(`${where}: id ${mark.id} is absent or not its own`);
    seen.add(mark.id);
    if (!Number.isInteger(mark.time)) fail(`${where}: time ${mark.time}`);
    if (typeof mark.label !== "string" || mark.label === "") fail(`${where}: label ${JSON.stringify(mark.label)}`);
    if (mark.time <= newest && !times.has(mark.time)) fail(`${where}: ${iso(mark.time)} is no bar's time`);
  }
}

/** Quotes: one answer a symbol asked for, its figures numbers. */
export function checkQuotes(quotes, names) {
  if (quotes.map(({ n }) => n).join() !== names.join()) fail(`quotes of ${names} are of ${quotes.map(({ n }) => n)}`);
  for (const { s, n, v } of quotes) {
    if (s !== "ok") fail(`quote of ${n}: ${s} ${JSON.stringify(v)}`);
    for (const name of ["lp", "volume"]) if (!Number.isFinite(v[name])) fail(`quote of ${n}: ${name} is ${v[name]}`);
    for (const name of ["ch", "chp", "open_price", "high_price", "low_price", "prev_close_price"]) if (v[name] !== undefined && v[name] !== null && !Number.isFinite(v[name])) fail(`quote of ${n}: ${name} is ${v[name]}`);
    for (const name of ["short_name", "exchange"]) if (typeof v[name] !== "string") fail(`quote of ${n}: ${name} is ${v[name]}`);
  }
}

export { fail, iso };
