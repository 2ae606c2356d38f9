/* The venue's clock and calendar in a browser: UTC to the venue's wall clock, sessions from
   TradingView's session string, and where the slots of a missing range lie. Pure. */

const DAY = 86400;

/** Wall-clock seconds ("local": counted as if the wall clock were UTC) of one time zone. */
export class VenueTime {
  constructor(timeZone) {
    this.parts = new Intl.DateTimeFormat("en-US", {
      timeZone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
    });
    this.offsets = new Map();
  }

  /** Seconds east of UTC at a UTC second; asked of the browser once an hour of data. */
  offset(utcS) {
    const hour = Math.floor(utcS / 3600);
    let offset = this.offsets.get(hour);
    if (offset === undefined) {
      const p = Object.fromEntries(this.parts.formatToParts(hour * 3600_000).map(({ type, value }) => [type, Number(value)]));
      offset = Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) / 1000 - hour * 3600;
      this.offsets.set(hour, offset);
    }
    return offset;
  }

  local(utcS) { return utcS + this.offset(utcS); }
}

/* "0900-1200,1330-1616:2345|0900-1130,1400-1616:6" or "24x7"; TradingView's days: 1 is Sunday. */
function parse(text) {
  const week = [[], [], [], [], [], [], []];
  if (text === "24x7") return week.map(() => [[0, DAY]]);
  for (const part of text.split("|")) {
    const [hours, weekdays = "23456"] = part.split(":");
    for (const digit of weekdays) week[Number(digit) - 1] = ranges(hours);
  }
  return week;
}

/* "0900-1200,1330-1616" */
const ranges = (hours) => hours.split(",").map((range) => {
  const [from, to] = range.split("-").map((hm) => Number(hm.slice(0, 2)) * 3600 + Number(hm.slice(2)) * 60);
  return [from, to === 0 ? DAY : to];
});

/* "20261224,20261225" -> numbers of days. */
const days = (text) => text.split(",").filter(Boolean).map((d) => Date.UTC(Number(d.slice(0, 4)), Number(d.slice(4, 6)) - 1, Number(d.slice(6))) / 1000 / DAY);

/** The trading hours of a week, and the days that differ from them: holidays "20261225,..." and
    short days "0400-1700:20261127,...;...". */
export class Sessions {
  constructor(text, holidays = "", corrections = "") {
    this.week = parse(text);
    this.always = text === "24x7";
    this.special = new Map();
    for (const part of corrections.split(";").filter(Boolean)) {
      const [hours, list] = part.split(":");
      for (const day of days(list)) this.special.set(day, ranges(hours));
    }
    for (const day of days(holidays)) this.special.set(day, []);
  }

  /** [[from, to], ...] in seconds of the day, for the day of a local second. */
  of(localS) { return this.special.get(dayOf(localS)) ?? this.week[new Date(Math.floor(localS) * 1000).getUTCDay()]; }

  /** Which session of its day a local second lies in; -1 before the first, and the auction that ends
      a day counts to the last. */
  index(localS) {
    const second = localS - Math.floor(localS / DAY) * DAY;
    let found = -1;
    this.of(localS).forEach(([from], i) => { if (second >= from) found = i; });
    return found;
  }

  /** Local openings of the `stepS` bars that begin inside [from, to) and in trading hours, in order. */
  slots(from, to, stepS) {
    const out = [];
    for (let midnight = Math.floor(from / DAY) * DAY; midnight < to; midnight += DAY) {
      for (const [open, close] of this.of(midnight)) {
        for (let t = midnight + open; t < midnight + close; t += stepS) if (t >= from && t < to) out.push(t);
      }
    }
    return out;
  }
}

/** Number of a local second's day. */
export const dayOf = (localS) => Math.floor(localS / DAY);
