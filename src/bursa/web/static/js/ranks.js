/* A list of instruments on the overview: rows keyed by ticker, changed in place, so that only what changed
   moves. A new order is taken at most once a second, and not while the pointer or the focus is in the table;
   until then the rows stay where they are, with their newest figures. */

import { lean, mark, node, put, tick } from "./dom.js";
import { compact, direction, fixed, percent, volume } from "./format.js";
import { drawSpark, emptySpark } from "./spark.js";

const ORDER_MS = 1000;

/* What a column shows; and its exact figure, for the row's tooltip. */
const TEXTS = {
  last: (row) => fixed(row.last, row.decimals),
  change: (row) => percent(row.change),
  value: (row) => compact(row.value),
  volume: (row, facts) => volume(row.volume, facts),
  trades: (row) => compact(row.trades),
};
const EXACT = {
  value: (row, facts) => `${facts.sign}${fixed(row.value, 0)}`,
  volume: (row, facts) => `${fixed(row.volume, facts.volumeDecimals)}${facts.unit > 1 ? " shares" : ""}`,
  trades: (row) => `${fixed(row.trades, 0)} trades`,
};

/** Places of `keys` that need not move to bring them into the order of `wanted`: the longest run that is in
    order already. Both are lists without repetition, `keys` a part of `wanted`. */
export function staying(keys, wanted) {
  const at = keys.map((key) => wanted.indexOf(key)), best = at.map(() => 1), from = at.map(() => -1);
  for (let i = 0; i < at.length; i++)
    for (let j = 0; j < i; j++) if (at[j] < at[i] && best[j] + 1 > best[i]) { best[i] = best[j] + 1; from[i] = j; }
  const out = new Set();
  for (let i = best.indexOf(Math.max(...best)); i >= 0; i = from[i]) out.add(keys[i]);
  return out;
}

export class Ranks {
  /** panel: the list's section; facts: {exchange, currency, sign, unit, volumeDecimals}. */
  constructor(panel, facts) {
    this.table = panel.querySelector("table");
    this.body = this.table.tBodies[0];
    this.none = panel.querySelector(".o-none");
    this.list = this.table.dataset.list;
    this.columns = this.table.dataset.columns.split(" ");
    this.facts = facts;
    this.rows = new Map();
    this.orderedAt = -ORDER_MS;
    this.lost = [];
    this.table.addEventListener("focusin", ({ target }) => { if (target.matches("a")) this.stop(target); });
  }

  /** True while a new order would take a row from under the reader. */
  get held() {
    return this.table.contains(document.activeElement) || (matchMedia("(hover: hover)").matches && this.table.matches(":hover"));
  }

  /** The list `tickers`, with the figures of `rows` (by ticker). `none`: what an empty list says. */
  take(tickers, rows, lost, none) {
    this.lost = lost;
    const now = performance.now(), order = !this.rows.size || (!this.held && now - this.orderedAt >= ORDER_MS);
    if (order) { this.orderedAt = now; this.order(tickers); }
    const washes = [];
    for (const [ticker, element] of this.rows) {
      const row = rows[ticker];
      element.classList.toggle("o-left", !tickers.includes(ticker));
      if (row) this.draw(element, row, washes);
    }
    tick(washes);
    put(this.none, tickers.length ? "" : none);
    this.none.hidden = tickers.length > 0;
    this.table.classList.toggle("o-empty", !tickers.length);
  }

  /* Rows into the order of `tickers`, with as few moves as there can be. */
  order(tickers) {
    for (const wait of this.body.querySelectorAll(".o-wait")) wait.remove();
    for (const [ticker, element] of this.rows) if (!tickers.includes(ticker)) { element.remove(); this.rows.delete(ticker); }
    const stay = staying([...this.body.rows].map((row) => row.dataset.key), tickers);
    let next = null;
    for (const ticker of [...tickers].reverse()) {
      let element = this.rows.get(ticker);
      if (!element) this.rows.set(ticker, element = this.make(ticker));
      if (!stay.has(ticker)) this.body.insertBefore(element, next);
      next = element;
    }
    const { links } = this;
    if (!links.some((link) => link.tabIndex === 0)) this.stop(links[0]);
  }

  make(ticker) {
    const row = node("tr", "o-row"), name = node("td"), link = node("a", "b-tk", ticker), spark = node("td", "sp");
    row.dataset.key = ticker;
    link.href = `/chart?${new URLSearchParams({ symbol: `${this.facts.exchange}:${ticker}` })}`;
    link.tabIndex = -1;
    name.append(link);
    spark.append(emptySpark());
    row.append(name, spark);
    for (const column of this.columns) {
      const cell = node("td", "num");
      cell.dataset.column = column;
      if (column === "change") cell.append(node("span", "b-chg"));
      row.append(cell);
    }
    return row;
  }

  draw(element, row, washes) {
    const before = element.shown, way = direction(row.change, 2), link = element.querySelector("a");
    element.shown = row;
    const exact = this.columns.filter((column) => EXACT[column]).map((column) => EXACT[column](row, this.facts));
    mark(link, "title", [row.name, ...exact].filter(Boolean).join(", ") || null);
    mark(link, "aria-label", row.name ? `${link.textContent}, ${row.name}` : null);
    drawSpark(element.querySelector("svg"), row, this.lost, row.change === null ? "" : way);
    for (const cell of element.querySelectorAll("[data-column]")) {
      const column = cell.dataset.column, text = column === "change" ? cell.firstChild : cell;
      put(text, TEXTS[column](row, this.facts));
      if (column === "change") lean(text, row.change === null ? "" : way);
    }
    if (before && before.last !== null && row.last !== null && before.last !== row.last) {
      const cell = element.querySelector('[data-column="last"]') ?? element.querySelector('[data-column="change"]');
      washes.push([cell, row.last > before.last ? "b-tick-up" : "b-tick-down"]);
    }
  }

  /** Print all figures anew: the reader's way of writing numbers changed. */
  reprint() { for (const element of this.rows.values()) if (element.shown) this.draw(element, element.shown, []); }

  /** The links of the rows that can be seen. */
  get links() { return [...this.body.querySelectorAll("a")].filter((link) => link.offsetParent !== null); }

  /* A table is one stop of the Tab key; inside it the row that was last in focus is. */
  stop(link) {
    for (const other of this.body.querySelectorAll('a[tabindex="0"]')) if (other !== link) other.tabIndex = -1;
    if (link) link.tabIndex = 0;
  }
}

/** Move the focus by one row, from list to list at their ends. Returns false where there is none to move to. */
export function walk(lists, by) {
  const links = lists.flatMap((list) => list.links), at = links.indexOf(document.activeElement);
  const link = links[at < 0 ? 0 : at + by];
  link?.focus();
  return Boolean(link);
}
