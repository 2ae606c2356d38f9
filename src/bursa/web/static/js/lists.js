/* What the lists of people and keys share: states as words and shapes, times in the reader's venue, asking in
   place before something ends, paging by tokens, walking by keys. Knows no page. */

import { VenueTime } from "./clock.js";
import { keysCount } from "./display.js";
import { $, mark, node, put } from "./dom.js";
import { age, clockMinutes, dayShort, NONE, year } from "./format.js";

const DAY_MS = 86_400_000, SOON_MS = 7 * DAY_MS;
const time = new VenueTime($("page").dataset.timezone);
const local = (iso) => time.local(Date.parse(iso) / 1000);

/** "16 Feb 2026" of an ISO instant; a dash for null. */
export const date = (iso) => (iso ? `${dayShort(local(iso))} ${year(local(iso))}` : NONE);

/** "14:31" of an ISO instant. */
export const clock = (iso) => clockMinutes(local(iso));

/** How long ago: "now" under 10 s, an age within a week, then the date; `never` for null. */
export function ago(iso, never = "never") {
  if (!iso) return never;
  const ms = Date.now() - Date.parse(iso);
  return ms < 10_000 ? "now" : ms < SOON_MS ? age(ms) : date(iso);
}

/** A <time> with its instant. */
export function when(iso, text) {
  const out = node("time", "", text);
  if (iso) out.setAttribute("datetime", iso);
  return out;
}

const SHAPES = { active: "ok", expired: "closed", revoked: "closed", unverified: "wait", disabled: "bad" };
const WORDS = { disabled: "suspended" };

/** A state with its shape. A key that ends within a week says so. */
export function state(name, expires = null) {
  const left = expires ? Date.parse(expires) - Date.now() : Infinity, soon = name === "active" && left < SOON_MS;
  const out = node("span", "b-fresh", soon ? `expires in ${age(Math.max(0, left))}` : WORDS[name] ?? name);
  out.dataset.state = soon ? "stale" : SHAPES[name] ?? "ok";
  return out;
}

/** Cells of a row: [[class, text or element, title], ...]. */
export function row(cells, className = "") {
  const out = node("tr", className);
  for (const [kind, what, title] of cells) {
    const cell = node("td", kind);
    cell.append(what);
    if (title) cell.title = title;
    out.append(cell);
  }
  return out;
}

/** Put rows in place of those that stand. Who has the focus on something of one, by its `data-id`, keeps it. */
export function refill(body, rows) {
  const had = body.contains(document.activeElement) ? document.activeElement : null, id = had?.closest("[data-id]")?.dataset.id;
  body.replaceChildren(...rows);
  if (id !== undefined) body.querySelector(`[data-id="${CSS.escape(id)}"] ${had.localName}`)?.focus({ preventScroll: true });
}

export function button(words, className, act) {
  const out = node("button", `b-btn ${className}`, words);
  out.type = "button";
  out.addEventListener("click", act);
  return out;
}

/** Ask before something ends, in place: put into `box` what will happen and a field; `act(text)` when it fits.
    typed: the text that must be typed, or null for any that is not empty. Esc and Keep end it: closed() then, and the focus goes to `back`. */
export function confirm(box, { words, label, verb, typed = null, act, back, closed }) {
  const form = node("form", "u-ask"), input = node("input", "b-input"), go = node("button", "b-btn b-btn--bad", verb), field = node("label", "b-field"), said = node("p", "b-bad b-tiny");
  const close = () => { box.replaceChildren(); box.hidden = true; closed?.(); back?.focus(); };
  Object.assign(input, { autocomplete: "off", maxLength: 200 });
  field.append(node("span", "", label), input);
  go.disabled = true;
  said.setAttribute("role", "alert");
  input.addEventListener("input", () => { const text = input.value.trim(); go.disabled = typed === null ? !text : text !== typed; });
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); close(); } });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    try { await act(input.value.trim()); } catch (error) {
      if (error.code === undefined) throw error;
      put(said, `${error.message} (${error.code})`);
      go.disabled = false;
    }
  });
  form.append(node("p", "", words), field, go, button("Keep", "b-btn--bare", close), said);
  box.replaceChildren(form);
  box.hidden = false;
  input.focus();
}

/** Say in a note that a list could not be read; null: it could. */
export function failed(box, error) {
  box.hidden = error === null;
  if (!error) return;
  put(box.querySelector("span > span"), `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)} (${error.code})`);
  for (const wait of box.parentElement.querySelectorAll(".p-wait")) wait.remove();
}

/** Pages by opaque tokens: where one is, what came before. */
export class Pages {
  /** prefix: of the ids of its buttons and words; turned(): read again. */
  constructor(prefix, turned) {
    Object.assign(this, { prefix, turned, before: [], at: "", next: null, first: 1 });
    $(`${prefix}-earlier`).addEventListener("click", () => { this.at = this.before.pop() ?? ""; turned(); });
    $(`${prefix}-later`).addEventListener("click", () => { if (this.next) { this.before.push(this.at); this.at = this.next; turned(); } });
  }

  reset() { Object.assign(this, { before: [], at: "", next: null }); }

  /** An answer came: `shown` rows of pages of `size`, of `count` in all where that is known. */
  show(shown, size, count, next) {
    this.next = next ?? null;
    const first = this.before.length * size + 1;
    put($(`${this.prefix}-count`), shown ? `${first} to ${first + shown - 1}${count === undefined || count === null ? "" : ` of ${count.toLocaleString("en-US")}`}` : "");
    $(`${this.prefix}-earlier`).disabled = !this.before.length;
    $(`${this.prefix}-later`).disabled = !this.next;
    $(`${this.prefix}-pages`).hidden = !this.before.length && !this.next && !shown;
  }
}

/** j and k, and the arrows in a list, go down and up its rows; Enter opens the one in focus. */
export function walk(body, open) {
  const rows = () => [...body.querySelectorAll("tr[data-row]")];
  const move = (by) => {
    const all = rows(), at = all.indexOf(document.activeElement?.closest("tr"));
    all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))]?.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (!keysCount(event) || event.shiftKey) return;
    const inside = body.contains(document.activeElement), by = { j: 1, k: -1, ...(inside ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
    if (by) { event.preventDefault(); move(by); }
    else if (event.key === "Enter" && document.activeElement.matches?.("tr[data-row]") && inside) { event.preventDefault(); open(document.activeElement); }
  });
  body.addEventListener("click", (event) => { const line = event.target.closest("tr[data-row]"); if (line && !event.target.closest("button, a, form")) open(line); });
}

/** Press one of a group's buttons. */
export function press(group, value) { for (const one of group.querySelectorAll("button")) mark(one, "aria-pressed", String(one.value === value)); }

/** Copy what an element says; the button says that it did. */
export function copying(say) {
  document.addEventListener("click", async (event) => {
    const from = event.target.closest("[data-copy]")?.dataset.copy;
    if (!from) return;
    const text = $(from).textContent;
    try { await navigator.clipboard.writeText(text); say("Copied."); } catch {
      /* Without the right to the clipboard: it is picked, so that one key does it. */
      getSelection().selectAllChildren($(from));
      say("The browser keeps its clipboard shut. It is selected: copy it by Ctrl C.");
    }
  });
}
