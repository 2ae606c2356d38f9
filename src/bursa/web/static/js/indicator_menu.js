/* The menu of indicators: every metric of the catalogue by group, searched as one types, switched on and off by
   pointer or keyboard. It stays open while one chooses; Escape closes it and gives the focus back. */

import { node, put, shape } from "./dom.js";
import { OVERLAYS_MAX, PANES_MAX, parameterWords } from "./indicators.js";

export class IndicatorMenu {
  /** dialog: the element; opener: the button; choice: Choice; handlers: toggle(name) -> why not, or "". */
  constructor(dialog, opener, choice, handlers) {
    Object.assign(this, { dialog, opener, choice, handlers });
    this.input = dialog.querySelector("input");
    this.list = dialog.querySelector("[role=listbox]");
    this.words = dialog.querySelector(".pal-none");
    this.at = -1;
    opener.addEventListener("click", () => this.open());
    this.input.addEventListener("input", () => { this.sum(); this.fill(); this.move(this.options().length ? 0 : -1); });
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("click", (event) => this.click(event));
    dialog.addEventListener("close", () => { opener.setAttribute("aria-expanded", "false"); opener.focus(); });
    this.count();
  }

  open() {
    if (this.dialog.open) return;
    this.input.value = "";
    this.fill();
    this.sum();
    this.dialog.showModal();
    this.opener.setAttribute("aria-expanded", "true");
    this.input.focus();
    this.list.scrollTop = 0;
    this.move(0);
  }

  options() { return [...this.list.querySelectorAll("[role=option]")]; }

  /** How many are on stands on the button. */
  count() {
    const n = this.choice.names.length;
    put(this.opener.querySelector(".b-count"), String(n));
    this.opener.setAttribute("aria-label", `Indicators ${n} on`);
  }

  /** The choice changed elsewhere: marks follow. */
  follow() {
    this.count();
    for (const row of this.options()) row.setAttribute("aria-selected", String(this.choice.has(row.dataset.name)));
  }

  fill() {
    const query = this.input.value.trim(), groups = this.choice.catalogue.search(query);
    let n = 0;
    this.list.replaceChildren(...groups.map(([title, metrics], g) => {
      const group = node("ul"), head = node("li", "h", title);
      group.setAttribute("role", "group");
      head.id = `ind-group-${g}`;
      head.setAttribute("role", "presentation");
      group.setAttribute("aria-labelledby", head.id);
      group.append(head, ...metrics.map((metric) => this.row(metric, n++)));
      return group;
    }));
    if (!n) this.say(`No indicator holds \u201c${query}\u201d. \u201cmetrics.extra\u201d in the configuration adds parameters of your own.`);
  }

  row(metric, n) {
    const row = node("li"), tick = shape("svg", { class: "b-i i-tick", "aria-hidden": "true" }), name = node("span", "i-name", metric.title);
    tick.append(shape("use", { href: "#i-tick" }));
    row.id = `ind-${n}`;
    row.dataset.name = metric.name;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(this.choice.has(metric.name)));
    row.setAttribute("aria-disabled", String(!metric.available || Boolean(metric.locked)));
    const parameters = parameterWords(metric);
    const about = node("span", "i-about", metric.description);
    if (parameters) about.title = parameters;
    row.append(tick, name, about, node("span", "b-tag", metric.locked ? `comes with ${metric.locked}` : !metric.available ? "not on this venue" : metric.overlay ? "on prices" : "pane"));
    return row;
  }

  move(at, scroll = true) {
    const options = this.options();
    this.at = Math.max(-1, Math.min(options.length - 1, at));
    options.forEach((row, i) => row.classList.toggle("is-at", i === this.at));
    const row = options[this.at];
    if (row) this.input.setAttribute("aria-activedescendant", row.id);
    else this.input.removeAttribute("aria-activedescendant");
    if (row && scroll) (this.at === 0 ? this.list.querySelector(".h") ?? row : row).scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (by && this.at >= 0) { event.preventDefault(); this.move(Math.max(0, this.at + by)); }
    else if (event.key === "Enter") { event.preventDefault(); this.take(this.options()[this.at]); }
    /* A search field would keep the first Escape to empty itself. */
    else if (event.key === "Escape") { event.preventDefault(); this.dialog.close(); }
  }

  click(event) {
    const row = event.target.closest("[role=option]");
    if (row) { this.move(this.options().indexOf(row), false); this.take(row); this.input.focus(); }
    else if (event.target === this.dialog || event.target.closest("[data-close]")) this.dialog.close();
  }

  take(row) {
    if (!row) return;
    const { title } = this.choice.catalogue.find(row.dataset.name), refused = this.handlers.toggle(row.dataset.name);
    this.follow();
    this.say(refused || `${title} is ${this.choice.has(row.dataset.name) ? "on" : "off"}.`, Boolean(refused));
  }

  /* What is on, and how much more there can be. */
  sum() {
    const { overlays, panes } = this.choice, titles = this.choice.metrics.map(({ title }) => title).join(", ");
    this.say(`${titles ? `On: ${titles}.` : "None is on."} ${PANES_MAX - panes.length} more panes and ${OVERLAYS_MAX - overlays.length} more lines over the prices fit.`);
  }

  say(text, refused = false) {
    put(this.words, text);
    this.words.classList.toggle("b-warn", refused);
  }
}
