/* The metrics of the catalogue as a chart uses them: which are on, in which order, how their numbers print,
   what is to be said where there is no number. The choice is kept by the browser and stands in the address.
   Knows no chart and no element. */

import { fixed, NONE, percent, signed, volume, compact } from "./format.js";

const KEPT_KEY = "bursa.metrics", IN_ADDRESS = "metrics", DEFAULT = ["vwap", "hd", "rsi_14"];
export const PANES_MAX = 6, OVERLAYS_MAX = 8;

/** The catalogue as the server tells it: [{name, title, description, unit, group, parameters, outputs: [{name,
    column, unit, draw}], overlay, guides, warmup, timeframes, available, locked}], groups {key: title} in order. */
export class Catalogue {
  constructor({ metrics, groups }) {
    this.list = metrics;
    this.byName = new Map(metrics.map((metric) => [metric.name, metric]));
    this.titles = groups;
  }

  find(name) { return this.byName.get(name); }

  /** [[title, metrics], ...] of those that fit every word of `query`, in the catalogue's order of groups. */
  search(query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (metric) => { const text = searched(metric, this.titles[metric.group]); return words.every((word) => text.includes(word)); };
    const keys = [...new Set([...Object.keys(this.titles), ...this.list.map((metric) => metric.group)])];
    return keys.map((key) => [this.titles[key] ?? key, this.list.filter((metric) => metric.group === key && fits(metric))]).filter(([, found]) => found.length);
  }
}

const searched = ({ name, title, description, parameters }, group) => [name, title, description, group, parameterWords({ parameters })].join(" ").toLowerCase();

/** "fast 12, slow 26, signal 9"; "" where it has none. */
export const parameterWords = ({ parameters }) => Object.entries(parameters).map(([name, value]) => `${name} ${value}`).join(", ");

/* Does a bar of that timeframe show the value of its last minute? */
const ofMinutes = ({ timeframes }, tf) => !timeframes.includes(tf);

/** Which metrics are on. */
export class Choice {
  /** catalogue: Catalogue; asked: names from the address, or null for those of the last time. */
  constructor(catalogue, asked) {
    this.catalogue = catalogue;
    this.set(asked ?? kept() ?? DEFAULT);
  }

  /** Take names; those that are not there, not on this venue or too many are left out, and told: a list of sentences. */
  set(names) {
    const left = [];
    this.names = [];
    /* What this venue has not is wanted on others still; what is locked, once it is open. */
    this.elsewhere = [];
    for (const name of new Set(names)) {
      const why = this.refusal(name);
      if (!why) this.names.push(name);
      else left.push(why);
      const metric = this.catalogue.find(name);
      if (metric?.available === false || metric?.locked) this.elsewhere.push(name);
    }
    return (this.left = left);
  }

  has(name) { return this.names.includes(name); }

  get metrics() { return this.names.map((name) => this.catalogue.find(name)); }
  get overlays() { return this.metrics.filter((metric) => metric.overlay); }
  get panes() { return this.metrics.filter((metric) => !metric.overlay); }

  /** Why a metric cannot be switched on: a sentence with the remedy, or "". */
  refusal(name) {
    const metric = this.catalogue.find(name);
    if (!metric) return `There is no indicator ${String(name).slice(0, 64)} here. \u201cmetrics.extra\u201d in the configuration adds some.`;
    if (metric.locked) return `${metric.title} comes with ${metric.locked}.`;
    if (!metric.available) return `${metric.title} is not computed on this venue.`;
    const others = metric.overlay ? this.overlays : this.panes, most = metric.overlay ? OVERLAYS_MAX : PANES_MAX;
    if (others.length < most) return "";
    const what = metric.overlay ? `${most} lines over the prices` : `${most} panes`;
    return `${what} are the most a chart shows: ${others.map(({ title }) => title).join(", ")}. Remove one to see ${metric.title}.`;
  }

  /** Switch one; answers why not, or "". The choice is kept. */
  toggle(name) {
    if (this.has(name)) this.names = this.names.filter((other) => other !== name);
    else {
      const why = this.refusal(name);
      if (why) return why;
      this.names = [...this.names, name];
    }
    try { localStorage.setItem(KEPT_KEY, JSON.stringify([...this.names, ...this.elsewhere])); } catch { /* for this page only */ }
    return "";
  }

  /** Put the choice into an address, and answer it. */
  write(url) {
    url.searchParams.set(IN_ADDRESS, this.names.join(","));
    url.search = url.search.replaceAll("%2C", ",");
    return url;
  }
}

/** The names that an address asks for; null where it asks for none. */
export function asked(search) {
  const text = new URLSearchParams(search).get(IN_ADDRESS);
  return text === null ? null : text.split(",").filter(Boolean);
}

function kept() {
  try { const names = JSON.parse(localStorage.getItem(KEPT_KEY)); return Array.isArray(names) ? names : null; } catch { return null; }
}

/** How the numbers of an output print: write(value). `over`: it lies over the prices and has their decimals.
    facts: {priceDecimals, unit, volumeDecimals}. */
export function writer({ name, unit }, facts, over = false) {
  /* What stands behind the colon says what the number means. */
  const word = unit.split(":")[0].toLowerCase();
  if (name === DIRECTION) return (v) => signed(v, 0);
  if (/percent|%/.test(word)) return percent;
  if (/\b(shares?|base units?)\b/.test(word)) return (v) => volume(v, facts);
  if (over) return (v) => fixed(v, facts.priceDecimals);
  if (/\b(quote currency|prices?)\b/.test(word)) return (v) => fixed(v, facts.priceDecimals + (Math.abs(v) < 1000 ? 2 : 1));
  if (/^(bars|trades|minutes)\b/.test(word)) return (v) => fixed(v, 0);
  if (word.trim() === "0 to 100") return (v) => fixed(v, 1);
  return plain;
}

function plain(v) {
  if (v === null || v === undefined || Number.isNaN(v)) return NONE;
  return Math.abs(v) >= 1000 ? compact(v) : fixed(v, 2);
}

/** The output that says which way another one went. */
export const DIRECTION = "direction";

/** What an output without a name of its own is called: nothing; others bear theirs. */
export const outputTitle = ({ name }) => (name === "value" ? "" : /^d?mapo$/.test(name) ? name.toUpperCase() : name);

/** Why a metric has no number at a bar, in words. at: {tf, number: bars from the first one to this one, known: whether
    that first one is there, any: whether any bar has a number}. */
export function silence(metric, { tf, number, known, any }) {
  const needs = metric.warmup + 1;
  if (!any && ofMinutes(metric, tf)) return needs > 1 ? `needs ${needs} minutes` : "no value yet";
  if (known && number < needs) return `needs ${needs} bars, ${number} so far`;
  return any ? "no value" : known ? "no value yet" : "no value in these bars";
}
