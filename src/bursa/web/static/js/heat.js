/* The map as a grid: a row a ticker, a cell a day. Says how a cell looks and reads, and moves the focus between
   them. Does no network. */

import { mark, node } from "./dom.js";
import { day, fixed, share, span } from "./format.js";

export const STATES = ["received", "backfilled", "confirmed_empty", "missing"];
const WIDTHS = { PageUp: -10, PageDown: 10 };

const seconds = (date) => Date.parse(date) / 1000;
const level = (part) => (part >= 0.75 ? 4 : part >= 0.5 ? 3 : part >= 0.25 ? 2 : 1);

/** The classes of a cell, from minutes by state and how many are expected. */
export function look({ received, backfilled, confirmed_empty: empty, missing }, expected) {
  if (!expected) return "m-x";
  const traded = received + backfilled, out = [traded ? `m-r${level(traded / expected)}` : empty ? "m-e" : ""];
  if (missing) out.push(`m-g${level(missing / expected)}`);
  if (backfilled) out.push(`${missing ? "m-l" : "m-b"}${level(backfilled / expected)}`);
  return out.filter(Boolean).join(" ");
}

/** What a cell says, for who cannot see it. */
export function words(name, date, minutes, expected) {
  const when = `${name}, ${day(seconds(date))}`;
  if (!expected) return `${when}: nothing known yet`;
  const parts = [];
  if (minutes.missing) parts.push(`${span(minutes.missing * 60)} missing`);
  if (minutes.backfilled) parts.push(`${span(minutes.backfilled * 60)} backfilled`);
  parts.push(`${share(minutes.received / expected)} with trades`);
  if (!minutes.missing) parts.push("whole");
  return `${when}: ${parts.join(", ")}`;
}

/** Minutes of a row at a day, by state. */
export const minutesAt = (row, at) => Object.fromEntries(STATES.map((state) => [state, row[state][at]]));

export class Heat {
  /** table: {head, body}; tell: {chosen(row, at), open(row, at)}: a cell has the focus, was opened. `row` is null
      for all tickers together. */
  constructor({ head, body }, tell) {
    Object.assign(this, { head, body, tell, days: [], rows: [], at: null });
    body.addEventListener("click", (event) => this.click(event));
    body.addEventListener("focusin", (event) => { const cell = event.target.closest(".m-c"); if (cell) this.choose(...this.place(cell), false); });
    body.addEventListener("keydown", (event) => this.key(event));
    body.addEventListener("dblclick", (event) => { if (event.target.closest(".m-c")) this.open(); });
  }

  /** Show days [{date, minutes, totals}] and rows [{ticker, totals, received: [...], ...}], `all` before them. */
  show(days, rows, link) {
    const kept = this.chosen(), focused = document.activeElement?.closest?.(".m-c") !== null && this.body.contains(document.activeElement);
    Object.assign(this, { days, rows: [null, ...rows], link });
    this.head.replaceChildren(this.headings());
    this.body.replaceChildren(...this.rows.map((row) => this.row(row)));
    const row = kept ? this.rows.findIndex((one) => (one?.ticker ?? "") === kept.ticker) : -1, column = kept ? days.findIndex(({ date }) => date === kept.date) : -1;
    this.at = null;
    if (row >= 0 && column >= 0) this.choose(row, column, focused);
    else mark(this.cell(0, days.length - 1), "tabindex", 0);
  }

  /** {ticker, date} of the chosen cell, ticker "" for all; null where there is none. */
  chosen() { return this.at && { ticker: this.rows[this.at[0]]?.ticker ?? "", date: this.days[this.at[1]].date }; }

  headings() {
    const row = node("tr"), names = [node("th", "", "Ticker"), node("th", "num", "Missing")];
    let before = "";
    for (const { date } of this.days) {
      const head = node("th"), inner = node("span", "m-day"), [, number, month] = day(seconds(date)).split(" ");
      inner.append(node("b", "", month === before ? "" : month), node("span", "", number));
      before = month;
      head.append(inner);
      mark(head, "aria-label", day(seconds(date)));
      names.push(head);
    }
    for (const head of names) mark(head, "scope", "col");
    row.append(...names);
    return row;
  }

  row(row) {
    const out = node("tr", row ? "" : "m-all"), name = node("th"), missing = row ? row.totals.missing : this.days.reduce((sum, { totals }) => sum + totals.missing, 0);
    mark(name, "scope", "row");
    out.dataset.ticker = row?.ticker ?? "";
    if (row) { const link = node("a", "b-tk", row.ticker); link.href = this.link(row.ticker); link.tabIndex = -1; name.append(link); } else name.textContent = "All";
    out.append(name, node("td", `num${missing ? " is-some" : ""}`, missing ? span(missing * 60) : "none"));
    this.days.forEach((_, at) => out.append(this.made(row, at)));
    return out;
  }

  made(row, at) {
    const { date, minutes: each, totals } = this.days[at], minutes = row ? minutesAt(row, at) : totals, expected = row ? each : totals.expected;
    const cell = node("td", `m-c ${look(minutes, expected)}`);
    mark(cell, "tabindex", -1);
    mark(cell, "aria-label", words(row ? row.ticker : "All tickers", date, minutes, expected));
    cell.title = cell.getAttribute("aria-label");
    return cell;
  }

  /* The two columns before the days. */
  cell(row, column) { return this.body.rows[row].cells[column + 2]; }

  place(cell) { return [cell.parentElement.rowIndex - 1, cell.cellIndex - 2]; }

  choose(row, column, focus = true) {
    if (this.at) { const before = this.cell(...this.at); mark(before, "tabindex", -1); mark(before, "aria-selected", null); } else for (const cell of this.body.querySelectorAll("[tabindex='0']")) mark(cell, "tabindex", -1);
    this.at = [row, column];
    const cell = this.cell(row, column);
    mark(cell, "tabindex", 0);
    mark(cell, "aria-selected", "true");
    if (focus) cell.focus();
    this.tell.chosen(this.rows[row], column);
  }

  click(event) {
    const cell = event.target.closest(".m-c");
    if (cell) this.choose(...this.place(cell));
  }

  open() { if (this.at) this.tell.open(this.rows[this.at[0]], this.at[1]); }

  key(event) {
    if (!this.at || event.ctrlKey || event.metaKey || event.altKey || !event.target.closest(".m-c")) return;
    const [row, column] = this.at, last = this.days.length - 1;
    const to = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      Home: [row, 0], End: [row, last], PageUp: [row + WIDTHS.PageUp, column], PageDown: [row + WIDTHS.PageDown, column],
    }[event.key];
    if (event.key === "Enter") { event.preventDefault(); this.open(); return; }
    if (!to) return;
    event.preventDefault();
    this.choose(Math.max(0, Math.min(this.rows.length - 1, to[0])), Math.max(0, Math.min(last, to[1])));
  }
}

/** "30 days to Tue 18 Nov: 99.2% known, 35 min missing on 2 of them." */
export function summary(days, count) {
  if (!days.length) return "Nothing is known yet.";
  const sum = (state) => days.reduce((all, { totals }) => all + totals[state], 0), expected = sum("expected"), missing = sum("missing");
  const when = `${fixed(days.length, 0)} trading day${days.length > 1 ? "s" : ""} to ${day(seconds(days.at(-1).date))}, ${fixed(count, 0)} instrument${count === 1 ? "" : "s"}`;
  if (!missing) return `${when}. Nothing is missing.`;
  const touched = days.filter(({ totals }) => totals.missing).length;
  return `${when}. ${share((expected - missing) / expected)} is known; minutes are missing on ${touched} of the days.`;
}
