/* The quote at the right: last, change, the day's figures, from /v1/snapshot and the live bars. */

import { dayOf } from "./clock.js";
import { clockSeconds, direction, fixed, money, percent, signed, volume } from "./format.js";

const $ = (id) => document.getElementById(id);

export class Quote {
  /** facts: how numbers print; time: VenueTime. */
  constructor(facts, time) { Object.assign(this, { facts, time, figures: {} }); }

  /** Another instrument: nothing is known yet. */
  clear() { this.figures = {}; this.draw(); }

  /** Figures of the day {last, prev, open, high, low, volume, value, trades, bid, ask, ts}; those given
      replace those held. */
  take(figures) {
    const before = this.figures.last;
    Object.assign(this.figures, figures);
    this.draw();
    if (before !== undefined && this.figures.last !== before) this.flash(this.figures.last > before ? "up" : "down");
  }

  /** The newest bar moves the last price before the next snapshot does; `hd` where it bears one; `at`: its
      UTC seconds, null for bars of a day and more. One of another day waits for that day's figures. */
  bar({ c }, hd, at) {
    const { figures, time } = this, day = (s) => dayOf(time.local(s));
    if (figures.prev === undefined || (at !== null && figures.at !== undefined && day(at) !== day(figures.at))) return;
    this.take({ last: c, high: Math.max(figures.high ?? c, c), low: Math.min(figures.low ?? c, c), ...(hd === null || hd === undefined ? {} : { hd }) });
  }

  flash(side) {
    const cell = $("q-last");
    cell.classList.remove("b-tick-up", "b-tick-down");
    void cell.offsetWidth; /* starts the animation anew */
    cell.classList.add(`b-tick-${side}`);
  }

  draw() {
    const { figures: f, facts } = this, price = (v) => fixed(v, facts.priceDecimals);
    const change = f.last && f.prev ? f.last - f.prev : null, part = change === null ? null : (change / f.prev) * 100;
    const put = (id, text) => { const node = $(id); if (node && node.textContent !== text) node.textContent = text; };
    for (const id of ["q-last", "mini-last"]) put(id, price(f.last));
    put("q-change", change === null ? "" : signed(change, facts.priceDecimals));
    for (const id of ["q-percent", "mini-change"]) put(id, part === null ? "" : percent(part));
    const side = direction(part, 2);
    for (const id of ["q-change", "mini-change", "q-percent"]) {
      $(id).classList.remove("b-up", "b-down", "b-flat");
      if (change !== null) $(id).classList.add(id === "q-change" ? direction(change, facts.priceDecimals) : side);
    }
    for (const name of ["open", "prev", "high", "low", "bid", "ask"]) put(`q-${name}`, price(f[name]));
    put("q-vwap", price(f.volume > 0 ? f.value / f.volume : null));
    put("q-trades", fixed(f.trades, 0));
    put("q-volume", volume(f.volume, facts) + (facts.word && f.volume !== undefined ? ` ${facts.word}` : ""));
    $("q-volume").title = f.volume === undefined ? "" : `${fixed(f.volume, facts.volumeDecimals)}${facts.unit > 1 ? " shares" : ""}`;
    put("q-value", money(f.value, facts.currency));
    put("q-hd", volume(f.hd, facts));
    put("q-time", f.at === undefined ? "\u2013" : clockSeconds(this.time.local(f.at)));
  }
}
