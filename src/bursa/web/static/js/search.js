/* The search palette: by code and by company name over /udf/search, last viewed first. Keyboard: arrows,
   Enter, Esc; the combobox pattern. Says that it searches when an answer takes longer than 100 ms. */

import { search, snapshot } from "./api.js";
import { node } from "./dom.js";
import { direction, fixed, percent } from "./format.js";

const VIEWED_KEY = "bursa.viewed", VIEWED_MAX = 8, LIMIT = 30, SLOW_MS = 100, TYPING_MS = 40;

/** What was opened on this machine, newest first: [{symbol, exchange, description, decimals}]. */
export function viewed() {
  try { return JSON.parse(localStorage.getItem(VIEWED_KEY) ?? "[]").filter((item) => item.symbol && item.exchange).slice(0, VIEWED_MAX); } catch { return []; }
}

/** Remember an instrument as the last one viewed. */
export function remember(item) {
  const rest = viewed().filter((other) => other.symbol !== item.symbol || other.exchange !== item.exchange);
  try { localStorage.setItem(VIEWED_KEY, JSON.stringify([item, ...rest].slice(0, VIEWED_MAX))); } catch { /* a private window keeps nothing */ }
}

export class Palette {
  /** dialog: the element; choose(item): what a chosen instrument does. */
  constructor(dialog, choose) {
    Object.assign(this, { dialog, choose });
    this.input = dialog.querySelector("input");
    this.list = dialog.querySelector("ul");
    this.none = dialog.querySelector(".pal-none");
    this.items = [];
    this.picked = -1;
    this.kept = null; // what the reader moved to: a later answer to the same words leaves it picked
    this.asking = null;
    this.answered = null;
    this.input.addEventListener("input", () => this.typed());
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("click", (event) => this.click(event));
    dialog.addEventListener("close", () => this.asking?.abort());
    this.list.addEventListener("pointermove", (event) => { const row = event.target.closest("[role=option]"); if (row) this.move([...this.options()].indexOf(row), false); });
  }

  options() { return this.list.querySelectorAll("[role=option]"); }

  open() {
    if (this.dialog.open) return;
    this.input.value = "";
    this.answered = null;
    this.kept = null;
    this.dialog.showModal();
    this.input.focus();
    this.ask("");
  }

  typed() {
    this.kept = null;
    clearTimeout(this.wait);
    this.wait = setTimeout(() => this.ask(this.input.value.trim()), TYPING_MS);
  }

  async ask(query) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const slow = setTimeout(() => this.words("Searching"), SLOW_MS);
    if (!query && viewed().length) this.show([["Last viewed", viewed()]], query);
    try {
      const found = await search(query, LIMIT, undefined, asking.signal);
      clearTimeout(slow);
      const groups = [];
      if (!query && viewed().length) groups.push(["Last viewed", viewed()]);
      if (found.length) groups.push([query ? "Instruments" : "All instruments", found]);
      this.show(groups, query);
      this.answered = query;
      if (!query) this.quotes(asking.signal);
    } catch (error) {
      clearTimeout(slow);
      if (error.name !== "AbortError") { this.show([], query); this.words(error.code === "unreachable" ? "The server does not answer. Search works again when it does." : error.message); }
    }
  }

  words(text) { this.none.textContent = text; }

  show(groups, query) {
    this.items = groups.flatMap(([, items]) => items);
    let n = 0;
    this.list.replaceChildren(...groups.flatMap(([title, items]) => {
      const head = node("li", "h", title);
      head.setAttribute("role", "presentation");
      return [head, ...items.map((item) => this.row(item, n++))];
    }));
    this.words(this.items.length ? "" : query ? `No code or company name holds \u201c${query}\u201d.` : "No instruments yet. They appear as the feed names them.");
    this.input.setAttribute("aria-expanded", String(this.items.length > 0));
    const { kept } = this;
    const again = kept ? this.items.findIndex((item) => item.symbol === kept.symbol && item.exchange === kept.exchange) : -1;
    this.pick(this.items.length ? Math.max(again, 0) : -1);
  }

  row(item, n) {
    const row = node("li");
    row.id = `pal-${n}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", "false");
    row.append(node("span", "b-tk", item.symbol), node("span", "b-name", item.description ?? ""), node("span", "b-tag", item.exchange));
    return row;
  }

  /* Last and change beside what was viewed: the few rows where a reader may want them. */
  async quotes(signal) {
    const rows = [...this.options()];
    await Promise.all(viewed().filter((item) => item.venue).map(async (item, i) => {
      try {
        const { last, prev } = await snapshot(item.venue, item.symbol, signal);
        const change = last && prev ? (last / prev - 1) * 100 : null;
        if (!last || !rows[i]?.isConnected) return;
        rows[i].append(node("span", "num", fixed(last, item.decimals ?? 0)), node("span", `num b-chg ${direction(change, 2)}`, percent(change)));
      } catch { /* a row without figures is still a row */ }
    }));
  }

  pick(n, scroll = true) {
    this.picked = n;
    this.options().forEach((row, i) => {
      row.setAttribute("aria-selected", String(i === n));
      if (i === n && scroll) row.scrollIntoView({ block: "nearest" });
    });
    if (n >= 0) this.input.setAttribute("aria-activedescendant", `pal-${n}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  move(n, scroll = true) {
    this.kept = this.items[n] ?? null;
    this.pick(n, scroll);
  }

  key(event) {
    const move = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (move && this.items.length) {
      event.preventDefault();
      this.move(Math.max(0, Math.min(this.items.length - 1, this.picked + move)));
    } else if (event.key === "Enter") { event.preventDefault(); this.take(); }
    /* A search field would keep the first Escape to empty itself. */
    else if (event.key === "Escape") { event.preventDefault(); this.dialog.close(); }
  }

  click(event) {
    const row = event.target.closest("[role=option]");
    if (row) { this.move([...this.options()].indexOf(row), false); this.take(); }
    else if (event.target === this.dialog) this.dialog.close();
  }

  /* Enter right after typing waits for the answer to what was typed; closing meanwhile takes it back. */
  async take() {
    const typed = this.input.value.trim();
    if (typed && typed !== this.answered) {
      clearTimeout(this.wait);
      await this.ask(typed);
      if (!this.dialog.open || this.answered !== typed) return;
    }
    const item = this.items[this.picked];
    if (!item) return;
    this.dialog.close();
    this.choose(item);
  }
}
