/* The chart by keyboard: the crosshair from bar to bar, the table beside it, timeframes by number. */

import { keysCount } from "./display.js";

const $ = (id) => document.getElementById(id);

export class Hands {
  /** now: {slots, hover} of the chart; does: {last() -> number of the newest bar's slot, show() the bar under the crosshair,
      newest() goes there, indicators() opens their list}. */
  constructor(now, plot, does) {
    Object.assign(this, { now, plot, does });
    $("plot").addEventListener("keydown", (event) => this.onPlot(event));
    document.addEventListener("keydown", (event) => this.onPage(event));
  }

  /** slot: null takes the crosshair away. */
  point(slot) {
    this.now.hover = slot;
    if (slot === null) this.plot.unpoint(); else this.plot.point(slot);
    this.does.show();
  }

  step(by) {
    const last = this.does.last(), { hover } = this.now;
    if (last < 0) return;
    this.point(Math.max(0, Math.min(last, (hover ?? last + (by < 0 ? 1 : 0)) + by)));
  }

  /** Is the crosshair where somebody walked in the table? */
  get walked() { return this.now.hover !== null && $("bars").querySelector("[aria-selected=true]")?.dataset.x === String(this.now.slots[this.now.hover]?.x); }

  walk(by) {
    const rows = [...$("bars").querySelectorAll("[data-x]")], at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const row = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
    if (!row) return;
    rows[at]?.removeAttribute("aria-selected");
    row.setAttribute("aria-selected", "true");
    row.scrollIntoView({ block: "nearest" });
    const slot = this.now.slots.findIndex(({ x }) => x === Number(row.dataset.x));
    if (slot >= 0) this.point(slot);
  }

  onPlot(event) {
    const { plot } = this, by = event.shiftKey ? 10 : 1;
    const act = {
      ArrowLeft: () => this.step(-by), ArrowRight: () => this.step(by), "+": () => plot.zoom(0.8), "=": () => plot.zoom(0.8), "-": () => plot.zoom(1.25),
      Home: () => plot.scroll(-1e6), End: () => this.does.newest(), Escape: () => this.point(null),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  onPage(event) {
    if (!keysCount(event) || event.shiftKey) return;
    const button = /^[1-9]$/.test(event.key) ? $("intervals").querySelectorAll("button")[Number(event.key) - 1] : null;
    if (button) button.click();
    else if (event.key === "i") { event.preventDefault(); this.does.indicators(); }
    else if (event.key === "j") this.walk(1);
    else if (event.key === "k") this.walk(-1);
  }
}
