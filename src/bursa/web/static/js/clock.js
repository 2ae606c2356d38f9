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
    const [hours, days = "23456"] = part.split(":");
    const ranges = hours.split(",").map((range) => range.split("-").map((hm) => Number(hm.slice(0, 2)) * 3600 + Number(hm.slice(2)) * 60));
    for (const digit of days) week[Number(digit) - 1] = ranges.map(([from, to]) => [from, to === 0 ? DAY : to]);
  }
  return week;
}

/** The trading hours of a week. Knows no holidays: a day without bars has none to place. */
export class Sessions {
  constructor(text) { this.week = parse(text); this.always = text === "24x7"; }

  /** [[from, to], ...] in seconds of the day, for the day of a local second. */
  of(localS) { return this.week[new Date(Math.floor(localS) * 1000).getUTCDay()]; }

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
