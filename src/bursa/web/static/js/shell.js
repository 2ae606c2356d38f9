/* What every page does: display settings, search, the list of keys, tape, clock and badge. A page's own
   script imports `shell` and adds to it. */

import { ask } from "./account.js";
import { keysCount, startDisplay } from "./display.js";
import { $ } from "./dom.js";
import { toast } from "./say.js";
import { Palette } from "./search.js";
import { TapeWatch } from "./tape.js";

const CHORD_MS = 1200;

function openKeys() {
  const dialog = $("keys");
  $("settings").open = false;
  if (!dialog.open) dialog.showModal();
}

function go(href) { location.assign(href); }

/* What `/chart` opens for a search result; a page may set `shell.open` to do it without leaving. */
export const shell = {
  tape: new TapeWatch($("tape").dataset.venue),
  open: ({ symbol, exchange }) => go(`/chart?${new URLSearchParams({ symbol: `${exchange}:${symbol}` })}`),
};

/* Nobody can search who has not signed in. */
const palette = new Palette($("palette"), (item) => shell.open(item)), searching = document.querySelector(".b-search") !== null;
shell.palette = palette;
function search() { if (searching) palette.open(); }

let chord = -Infinity;
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) { event.preventDefault(); search(); return; }
  if (event.key === "Escape" && $("settings").open) { $("settings").open = false; $("settings").querySelector("summary").focus(); return; }
  if (!keysCount(event)) return;
  if (event.key === "/") { event.preventDefault(); search(); }
  else if (event.key === "?") openKeys();
  /* By when they were struck: a busy page may come to them later. */
  else if (event.key === "g") chord = event.timeStamp;
  else if (event.timeStamp - chord < CHORD_MS) {
    const link = document.querySelector(`.b-nav [data-key="${CSS.escape(event.key)}"]`);
    if (link) go(link.href);
  }
});
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]")?.dataset.open;
  if (opener === "palette") search();
  if (opener === "keys") openKeys();
  for (const menu of document.querySelectorAll("details.b-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  if (event.target === $("keys")) $("keys").close();
});
$("sign-out")?.addEventListener("click", async () => {
  /* One whose session is over already is out, too. */
  try { await ask("POST", "/auth/logout", {}); location.assign("/sign-in?done=out"); } catch (error) { if (error.status !== 401) toast(`${error.message} (${error.code})`, true); }
});
startDisplay();
shell.tape.start();
