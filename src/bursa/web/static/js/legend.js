/* The legend of each pane: the figures of the bar under the crosshair, or of the newest one. */

import { clockMinutes, day, dayYear, fixed, signed, volume } from "./format.js";

const NARROW_PX = 620;

function part(name, value, className) {
  const out = document.createElement("span"), figure = document.createElement("b");
  out.append(name ? name + " " : "");
  figure.textContent = value;
  if (className) figure.className = className;
  out.append(figure);
  return out;
}

export class Legend {
  /** boxes: {price, volume, hd, rsi} elements; plot: where the panes are; facts: how numbers print. */
  constructor(boxes, plot, facts) { Object.assign(this, { boxes, plot, facts }); this.held = {}; }

  /** Move each legend to the top of its pane; one whose pane is off is empty. */
  place() {
    const tops = new Map(this.plot.tops());
    for (const [name, box] of Object.entries(this.boxes)) {
      box.hidden = !tops.has(name);
      if (tops.has(name)) box.style.top = `${Math.round(tops.get(name)) + (name === "price" ? 8 : 4)}px`;
    }
  }

  set(name, parts) {
    const key = parts.map((p) => p.textContent + p.lastChild.className).join("|");
    if (this.held[name] === key) return;
    this.held[name] = key;
    this.boxes[name].replaceChildren(...parts);
  }

  /** Show a slot; `long`: bars of a day and more, whose time is their date. */
  show(slot, long) {
    if (!slot) { for (const name of Object.keys(this.boxes)) this.set(name, []); return; }
    const { bar } = slot, time = long ? dayYear(slot.x) : `${day(slot.x)} ${clockMinutes(slot.x)}`;
    if (!bar) {
      this.set("price", [part(time, slot.hole.pending ? "not received yet" : "no data", "b-gapc")]);
      for (const name of ["volume", "hd", "rsi"]) this.set(name, []);
      return;
    }
    const { priceDecimals: decimals, word } = this.facts, narrow = this.plot.element.clientWidth < NARROW_PX;
    const side = bar.c >= bar.o ? "b-up" : "b-down", price = (v) => fixed(v, decimals), lots = (v) => volume(v, this.facts);
    const first = [part("O", price(bar.o), side), part("H", price(bar.h), side), part("L", price(bar.l), side), part("C", price(bar.c), side)];
    if (this.plot.studies.has("vwap") && !long) first.push(part("VWAP", price(bar.vwap), "l-vwap"));
    if (this.plot.studies.has("ema")) first.push(part("EMA 20", price(bar.ema)));
    if (bar.rev !== undefined && !narrow) first.push(part("rev", String(bar.rev), bar.rev > 0 ? "b-warn" : ""));
    if (slot.hole) first.push(part("", slot.hole.pending ? "not complete" : "part missing", "b-gapc"));
    this.set("price", first);
    this.set("volume", [part("Volume", lots(bar.v) + (word ? ` ${word}` : ""))]);
    const hd = [part("HD", lots(bar.hd), "b-sogan")];
    if (bar.mapo !== undefined) hd.push(part("MAPO", lots(bar.mapo)));
    if (bar.dmapo !== undefined && !narrow) hd.push(part("DMAPO", lots(bar.dmapo)), part("direction", signed(bar.direction, 0)));
    this.set("hd", hd);
    this.set("rsi", [part("RSI 14", bar.rsi === null ? "warming up" : fixed(bar.rsi, 1))]);
  }
}
