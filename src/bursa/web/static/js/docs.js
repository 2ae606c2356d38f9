/* The docs: results while one types, copy buttons, keys, where one reads. Everything else works without. */

import { keysCount } from "./display.js";
import { find, marked, ready, snippet, termsOf } from "./docs-find.js";
import { toast } from "./say.js";
import "./shell.js";

const HITS = 12, READ_PX = 110; // a section is read once its heading is this near to the window's top
const $ = (id) => document.getElementById(id);
const input = $("d-q"), drop = $("d-drop"), count = $("d-count");

let index, chosen = -1;
const load = () => (index ??= fetch("/docs/index.json").then((answer) => answer.json()).then((rows) => rows.map(ready)).catch(() => { index = undefined; return []; }));

function line(className, children) {
  const span = document.createElement("span");
  span.className = className;
  span.append(...children);
  return span;
}

function option(entry, terms, at) {
  const item = document.createElement("li"), link = document.createElement("a"), title = document.createElement("b");
  item.id = `d-hit-${at}`;
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", "false");
  link.href = entry.at;
  link.tabIndex = -1;
  title.append(...marked(entry.title, terms));
  link.append(title);
  if (entry.trail.length) link.append(line("d-trail", [entry.trail.join(" › ")]));
  if (entry.text) link.append(line("d-why", marked(snippet(entry, terms), terms)));
  item.append(link);
  return item;
}

function close() {
  drop.hidden = true;
  input.setAttribute("aria-expanded", "false");
  choose(-1);
}

function choose(at) {
  const items = drop.querySelectorAll("[role=option]");
  chosen = items.length && at >= 0 ? (at + items.length) % items.length : -1;
  items.forEach((item, place) => item.setAttribute("aria-selected", String(place === chosen)));
  if (chosen < 0) { input.removeAttribute("aria-activedescendant"); return; }
  input.setAttribute("aria-activedescendant", items[chosen].id);
  items[chosen].scrollIntoView({ block: "nearest" });
}

async function show() {
  const asked = input.value, terms = termsOf(asked);
  if (!terms.length) { close(); return; }
  const entries = await load();
  if (asked !== input.value || document.activeElement !== input) return;
  const hits = find(entries, asked, HITS);
  if (hits.length) drop.replaceChildren(...hits.map((entry, at) => option(entry, terms, at)));
  else { const none = document.createElement("li"); none.className = "d-none"; none.textContent = "Nothing holds all these words."; drop.replaceChildren(none); }
  count.textContent = hits.length ? `${hits.length} found, arrows choose` : "Nothing is found";
  drop.hidden = false;
  input.setAttribute("aria-expanded", "true");
  choose(-1);
}

for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": "d-drop", "aria-expanded": "false" })) input.setAttribute(name, value);
input.addEventListener("focus", load, { once: true });
input.addEventListener("input", show);
input.addEventListener("keydown", (event) => {
  const open = !drop.hidden;
  if (event.key === "ArrowDown") { event.preventDefault(); if (open) choose(chosen + 1); else show(); }
  else if (event.key === "ArrowUp" && open) { event.preventDefault(); choose(chosen < 0 ? -1 + drop.children.length : chosen === 0 ? drop.children.length - 1 : chosen - 1); }
  else if (event.key === "Enter" && open && chosen >= 0) { event.preventDefault(); drop.querySelectorAll("a")[chosen].click(); close(); input.blur(); }
  else if (event.key === "Escape") { event.preventDefault(); if (open) close(); else input.blur(); }
});
document.addEventListener("click", (event) => { if (!event.target.closest(".d-find") || event.target.closest(".d-drop a")) close(); });
document.addEventListener("focusin", (event) => { if (!event.target.closest(".d-find")) close(); });

/* On this page the search key is the docs'; Ctrl K still finds a ticker. */
document.addEventListener("keydown", (event) => {
  if (!keysCount(event)) return;
  if (event.key === "/") { event.preventDefault(); event.stopImmediatePropagation(); input.focus(); input.select(); }
  const turn = { "[": "prev", "]": "next" }[event.key];
  if (turn) document.querySelector(`.d-turn a[rel="${turn}"]`)?.click();
}, true);

/* Copy buttons are of use only here. */
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = $(button.dataset.copy).textContent.trim();
  navigator.clipboard.writeText(text).then(() => toast("Copied to the clipboard."), () => toast("The browser did not allow copying."));
});

/* A frame that scrolls can be reached and scrolled by keys. */
function reachable() {
  for (const frame of document.querySelectorAll(".d-table, .d-text pre")) {
    if (frame.scrollWidth > frame.clientWidth) frame.tabIndex = 0; else frame.removeAttribute("tabindex");
  }
}
new ResizeObserver(reachable).observe(document.querySelector(".d-text"));

/* The tree shows the section that is read, and keeps it in sight. */
const sections = new Map([...document.querySelectorAll(".d-on a")].map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
function here() {
  const heads = [...document.querySelectorAll(".d-text :is(h2, h3)[id]")];
  const last = heads.filter((head) => sections.has(head.id) && head.getBoundingClientRect().top < READ_PX).at(-1);
  for (const [anchor, link] of sections) anchor === last?.id ? link.setAttribute("aria-current", "location") : link.removeAttribute("aria-current");
}
let waits = false;
addEventListener("scroll", () => { if (!waits) { waits = true; requestAnimationFrame(() => { waits = false; here(); }); } }, { passive: true });
here();
const tree = document.querySelector(".d-tree"), row = document.querySelector(".d-side"), current = document.querySelector(".d-side [aria-current=page]");
if (current) {
  tree.scrollTop = current.offsetTop - tree.clientHeight / 2;
  row.scrollLeft = current.offsetLeft - row.clientWidth / 2;
}
