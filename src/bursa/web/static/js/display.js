/* Display settings: the buttons in the menu, the attributes on <html>, the cookie the server renders
   them from. Others hear of a change by the document's "bursa:display" event. */

const COOKIE = "bursa_display", YEAR_S = 31536000;
const root = document.documentElement;

function save() {
  const chosen = new URLSearchParams();
  for (const group of document.querySelectorAll("[data-set]")) chosen.set(group.dataset.set, root.dataset[group.dataset.set]);
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${COOKIE}=${chosen}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
}

function choose(name, value) {
  root.dataset[name] = value;
  for (const button of document.querySelectorAll(`[data-set="${name}"] button`)) button.setAttribute("aria-pressed", String(button.value === value));
  document.dispatchEvent(new CustomEvent("bursa:display", { detail: { name, value } }));
}

/* A setting in the address would win over the cookie at the next load. */
function forget(name) {
  const address = new URL(location.href);
  if (!address.searchParams.has(name)) return;
  address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}

export function startDisplay() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-set] button");
    if (!button) return;
    choose(button.closest("[data-set]").dataset.set, button.value);
    save();
    forget(button.closest("[data-set]").dataset.set);
  });
}

/** A token of the stylesheet by name, for a canvas: token("panel") -> "#121619". */
export const token = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();

/** A token with an opacity of `alpha`, in a form a canvas takes. */
export function wash(name, alpha) {
  const hex = token(name);
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

/** Single-letter keys count, unless the reader types or switched them off. */
export function keysCount(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || root.dataset.keys === "off") return false;
  return !event.target.closest?.("input, textarea, select, [contenteditable]") && !document.querySelector("dialog[open]");
}
