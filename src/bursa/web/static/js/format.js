/* Numbers, times and words as the reader chose to see them. Pure, save that the locale of numbers is
   read from <html data-numbers>. Does not touch any other element. */

const MINUS = "\u2212", NBSP = "\u00a0";
export const NONE = "\u2013";

const UNITS = {
  "en-US": [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]],
  "id-ID": [[1e12, "tln"], [1e9, "mlr"], [1e6, "jt"], [1e3, "rb"]],
};
const CURRENCIES = { IDR: "Rp" };
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const missing = (v) => v === null || v === undefined || Number.isNaN(v);
const locale = () => (document.documentElement.dataset.numbers === "id-ID" ? "id-ID" : "en-US");
const formats = new Map();

function digits(value, decimals) {
  const key = locale() + decimals;
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat(locale(), { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  }
  return formats.get(key).format(Math.abs(value));
}

/* What a value prints as decides its sign: -0.001 with two decimals is 0.00, without a sign. */
const printsZero = (value, decimals) => Math.abs(value) < 0.5 * 10 ** -decimals;

/** 8850 -> "8,850"; null, undefined and NaN are a dash. */
export function fixed(value, decimals) {
  if (missing(value)) return NONE;
  return (value < 0 && !printsZero(value, decimals) ? MINUS : "") + digits(value, decimals);
}

/** 125 -> "+125", -0.83 -> "−0.83". */
export function signed(value, decimals) {
  if (missing(value)) return NONE;
  if (printsZero(value, decimals)) return digits(0, decimals);
  return (value > 0 ? "+" : MINUS) + digits(value, decimals);
}

/** 1.4327 -> "+1.43%". */
export const percent = (value) => (missing(value) ? NONE : signed(value, 2) + "%");

/** 742318 -> "742K", "742 rb" in Indonesian; three digits. Whole below a thousand, unless there are
    `decimals` to show: 32.419 -> "32.4". */
export function compact(value, decimals = 0) {
  if (missing(value)) return NONE;
  const size = Math.abs(value), sign = value < 0 && !printsZero(value, decimals) ? MINUS : "";
  /* 999,950 would print as 1000K: the unit is chosen after rounding to three digits. */
  const rounded = size >= 1000 ? Number(size.toPrecision(3)) : size;
  const unit = UNITS[locale()].find(([least]) => rounded >= least);
  if (!unit) return sign + digits(size, Math.min(decimals, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : decimals));
  const scaled = rounded / unit[0];
  return sign + digits(scaled, scaled < 10 ? 2 : scaled < 100 ? 1 : 0) + (locale() === "id-ID" ? NBSP : "") + unit[1];
}

/** A volume in the venue's unit of it (lots on idx), without its word. facts: {unit, volumeDecimals}. */
export const volume = (value, { unit, volumeDecimals }) => (missing(value) ? NONE : compact(value / unit, Math.min(volumeDecimals, 4)));

/** Money in `currency`: "Rp 654B"; the code itself where it has no sign here. */
export function money(value, currency) {
  if (missing(value)) return NONE;
  const word = CURRENCIES[currency] ?? currency;
  return (word ? word + NBSP : "") + compact(value);
}

/** "b-up", "b-down" or "b-flat" by what the value prints as. */
export function direction(value, decimals) {
  if (missing(value) || printsZero(value, decimals)) return "b-flat";
  return value > 0 ? "b-up" : "b-down";
}

const two = (n) => String(n).padStart(2, "0");
const split = (localS) => new Date(Math.floor(localS) * 1000);

/** Local seconds (seconds of the venue's wall clock, counted as if it were UTC) -> "14:32". */
export function clockMinutes(localS) { const d = split(localS); return two(d.getUTCHours()) + ":" + two(d.getUTCMinutes()); }

/** "14:32:07". */
export const clockSeconds = (localS) => clockMinutes(localS) + ":" + two(split(localS).getUTCSeconds());

/** "Tue 18 Nov". */
export function day(localS) { const d = split(localS); return `${DAYS[d.getUTCDay()]} ${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`; }

/** "Tue 18 Nov 2025". */
export const dayYear = (localS) => `${day(localS)} ${split(localS).getUTCFullYear()}`;

/** "18 Nov". */
export const dayShort = (localS) => day(localS).slice(4);

export const month = (localS) => MONTHS[split(localS).getUTCMonth()];
export const year = (localS) => String(split(localS).getUTCFullYear());

/** Milliseconds -> "38 ms", "7 s", "4 min", "3 h", "2 d". */
export function age(ms) {
  if (missing(ms)) return NONE;
  if (ms < 1000) return Math.max(0, Math.round(ms)) + " ms";
  const s = ms / 1000;
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h";
  return Math.floor(s / 86400) + " d";
}

/** Seconds of missing data in words: "under 1 s", "40 s", "35 min", "2 h 5 min". */
export function span(s) {
  if (s < 1) return "under 1 s";
  if (s < 60) return Math.round(s) + " s";
  const minutes = Math.round(s / 60);
  if (minutes < 120) return minutes + " min";
  const hours = digits(Math.floor(minutes / 60), 0);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** A share of 1 in percent: 0.946 -> "94.6%"; not quite all is never printed as 100.0%. */
export function share(part) {
  if (missing(part)) return NONE;
  const shown = part < 1 ? Math.min(part * 100, 99.9) : 100;
  return fixed(part > 0 ? Math.max(shown, 0.1) : 0, 1) + "%";
}
