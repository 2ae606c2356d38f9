/* The legend of each pane: the figures of the bar under the crosshair, or of the newest one, and a button that
   takes a metric away. What reads figures aloud reads the table of bars; only the buttons are for it here. */

import { node, shape } from "./dom.js";
import { clockMinutes, day, dayYear, direction, fixed, volume } from "./format.js";
import { DIRECTION, outputTitle, parameterWords } from "./indicators.js";

const NARROW_PX = 620, SWATCH_PX = 16;

function part(name, value, className, title) {
  const out = node("span"), figure = node("b", className, value);
  if (name) out.append(node("span", "l-name", name), " ");
  out.append(figure);
  if (title) out.title = title;
  return out;
}

/* The line of an output as the chart draws it, beside its figure. */
function swatch({ color, dash }) {
  const out = shape("svg", { class: "l-swatch", width: SWATCH_PX, height: 8, "aria-hidden": "true" });
  out.append(shape("line", { class: `l-${color}`, x1: 0, x2: SWATCH_PX, y1: 4, y2: 4, "stroke-dasharray": dash.join(" ") || "none" }));
  return out;
}

function cross() {
  const icon = shape("svg", { class: "b-i", "aria-hidden": "true" });
  icon.append(shape("use", { href: "#i-close" }));
  return icon;
}

export class Legend {
  /** box: where legends go, over the plot; plot: where the panes are; facts: how numbers print; tell: {silence(metric, slot),
      remove(name)}. */
  constructor(box, plot, facts, tell) {
    Object.assign(this, { box, plot, facts, tell });
    box.addEventListener("click", (event) => this.click(event.target.closest("[data-remove]")));
    this.build();
  }

  /* Who removes one after the other by keyboard stays among the buttons. */
  click(button) {
    if (!button) return;
    const buttons = () => [...this.box.querySelectorAll("[data-remove]")], at = buttons().indexOf(button), focused = document.activeElement === button;
    this.tell.remove(button.dataset.remove);
    if (focused) (buttons()[Math.min(at, buttons().length - 1)] ?? this.plot.element).focus();
  }

  /** The choice is another one: a legend for each pane, in the price pane's a row for each line over the prices. */
  build() {
    this.held = new Map();
    this.rows = new Map();
    this.panes = new Map(["price", "volume"].map((name) => [name, this.pane(name)]));
    this.price = node("div", "l-row");
    this.panes.get("price").append(this.price);
    this.volume = node("div", "l-row");
    this.panes.get("volume").append(this.volume);
    for (const metric of this.plot.choice.metrics) {
      if (!metric.overlay) this.panes.set(metric.name, this.pane(metric.name));
      this.panes.get(metric.overlay ? "price" : metric.name).append(this.row(metric));
    }
    this.box.replaceChildren(...this.panes.values());
  }

  pane(name) {
    const out = node("div", "c-legend");
    out.id = `lg-${name}`;
    return out;
  }

  row(metric) {
    const out = node("div", "l-row l-metric"), title = node("span", "l-title", metric.title), button = node("button", "l-remove"), values = node("span", "l-values");
    const parameters = parameterWords(metric);
    out.dataset.metric = metric.name;
    title.title = metric.description;
    button.type = "button";
    button.dataset.remove = metric.name;
    button.setAttribute("aria-label", `Remove ${metric.title}`);
    button.title = `Remove ${metric.title}`;
    button.append(cross());
    title.setAttribute("aria-hidden", "true");
    values.setAttribute("aria-hidden", "true");
    out.append(title, " ", ...(parameters ? [node("span", "l-parameters b-p4", parameters), " "] : []), button, values);
    this.rows.set(metric.name, values);
    return out;
  }

  /** Move each legend to the top of its pane. */
  place() {
    for (const [name, top] of this.plot.tops()) {
      const box = this.panes.get(name);
      if (box) box.style.top = `${Math.round(top) + (name === "price" ? 6 : 2)}px`;
    }
  }

  set(element, parts) {
    const key = parts.map((p) => p.textContent + p.lastChild.className).join("|");
    if (this.held.get(element) === key) return;
    this.held.set(element, key);
    element.replaceChildren(...parts);
  }

  /** Nothing held counts any more: numbers print in another way. */
  forget() { this.held.clear(); }

  /** Show a slot; `long`: bars of a day and more, whose time is their date. */
  show(slot, long) {
    this.bar(slot, long);
    this.set(this.volume, slot?.bar ? [part("Volume", volume(slot.bar.v, this.facts) + (this.facts.word ? ` ${this.facts.word}` : ""))] : []);
    for (const metric of this.plot.choice.metrics) this.set(this.rows.get(metric.name), slot?.bar ? this.figures(metric, slot) : []);
  }

  bar(slot, long) {
    if (!slot) { this.set(this.price, []); return; }
    const { bar } = slot, time = long ? dayYear(slot.x) : `${day(slot.x)} ${clockMinutes(slot.x)}`;
    if (!bar) { this.set(this.price, [part(time, slot.hole.pending ? "not received yet" : "no data", "b-gapc")]); return; }
    const { priceDecimals: decimals } = this.facts, narrow = this.plot.element.clientWidth < NARROW_PX;
    const side = bar.c >= bar.o ? "b-up" : "b-down", price = (v) => fixed(v, decimals);
    const first = [part("O", price(bar.o), side), part("H", price(bar.h), side), part("L", price(bar.l), side), part("C", price(bar.c), side)];
    if (bar.rev !== undefined && !narrow) first.push(part("rev", String(bar.rev), bar.rev > 0 ? "b-warn" : ""));
    if (slot.late && !slot.hole) first.push(part("", "backfilled", "b-late", "Its trades were missed live; the bar was filled in afterwards"));
    if (slot.hole) first.push(part("", slot.hole.pending ? "not complete" : "part missing", "b-gapc"));
    this.set(this.price, first);
  }

  figures(metric, slot) {
    const layers = this.plot.layers.filter((layer) => layer.metric === metric), value = ({ key }) => slot.bar[key];
    const none = layers.every((layer) => value(layer) === null || value(layer) === undefined);
    const words = none ? this.tell.silence(metric, slot) : "";
    if (words) return [part("", words, "l-none")];
    /* Of a bar that is still open some outputs may be known and others not yet. */
    return layers.filter((layer) => none || value(layer) !== undefined).map((layer) => {
      const { output, write, style } = layer, name = outputTitle(output);
      const way = output.name === DIRECTION, lean = way || output.draw === "histogram" ? direction(value(layer), 12) : "";
      const out = part(name, write(value(layer)), way ? `b-chg ${lean}` : lean, output.unit);
      if (style) out.prepend(swatch(style));
      return out;
    });
  }
}
