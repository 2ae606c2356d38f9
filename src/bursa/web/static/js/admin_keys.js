/* The admin's keys: found by their first characters, never shown whole; revoked with a reason. */

import { ask, read } from "./account.js";
import { $, mark, node, put } from "./dom.js";
import { fixed } from "./format.js";
import { ago, button, confirm, date, failed, Pages, press, row, state, walk, when } from "./lists.js";
import { toast } from "./say.js";
import "./shell.js";

const SIZE = 50, TYPING_MS = 200;
const now = { state: "", asking: null, wait: 0 };
const pages = new Pages("k", () => list());
const told = (error) => { if (error.code === undefined) throw error; };

function line(key) {
  const act = node("span"), first = node("div");
  if (key.state === "active") {
    const out = button("Revoke", "b-btn--bare b-bad", () => revoke(key, out));
    out.setAttribute("aria-label", `Revoke ${key.name} of ${key.email}`);
    act.append(out);
  }
  first.append(node("code", "", `${key.prefix}\u2026${key.last4}`), node("span", "b-sub2", key.state === "active" ? key.name : `${key.name}, ${key.state}`));
  const out = row([
    ["", first], ["b-p3", node("span", "u-name", key.name)], ["", node("span", "u-name", key.email)], ["b-p2", state(key.state, key.expires)], ["b-p3", key.tier ? node("span", "b-tag", key.tier) : node("span", "b-faint", "its owner\u2019s")],
    ["num b-p3 b-muted", when(key.used, ago(key.used, "not yet"))], ["b-p4 b-p3 b-muted", when(key.expires, key.expires ? date(key.expires) : "never")], ["b-p4 b-p3 b-faint", when(key.created, date(key.created))], ["act", act],
  ], key.state === "active" ? "" : "b-faint");
  out.dataset.row = key.id;
  out.tabIndex = 0;
  return out;
}

function revoke(key, opener) {
  $("k-rows").querySelector(".u-asking")?.remove();
  const asked = node("tr", "u-asking"), cell = node("td");
  cell.colSpan = 9;
  asked.append(cell);
  opener.closest("tr").after(asked);
  confirm(cell, {
    words: `What uses ${key.name} of ${key.email} stops within a second, for good.`, label: "Reason, kept in the audit", verb: "Revoke", back: opener, closed: () => asked.remove(),
    act: async (reason) => {
      await ask("DELETE", `/admin/api/keys/${encodeURIComponent(key.id)}?${new URLSearchParams({ reason })}`);
      asked.remove();
      toast(`${key.name} is revoked.`);
      await list();
      $("k-table").focus();
    },
  });
}

async function list() {
  now.asking?.abort();
  const asking = (now.asking = new AbortController()), q = $("k-q").value.trim();
  mark($("k-rows"), "aria-busy", "true");
  try {
    const { data, meta } = await read("/admin/api/keys", { q, state: now.state, limit: SIZE, page: pages.at }, { signal: asking.signal });
    failed($("k-fail"), null);
    $("k-rows").replaceChildren(...data.map(line));
    $("k-table").hidden = !data.length;
    $("k-empty").hidden = data.length > 0;
    put($("k-empty-words"), q || now.state ? `No key holds ${[q && `\u201c${q}\u201d`, now.state].filter(Boolean).join(", ")}.` : "Nobody has made a key yet.");
    $("k-all").hidden = !(q || now.state);
    if (meta.count !== undefined && meta.count !== null) put($("sum"), `${fixed(meta.count, 0)} ${meta.count === 1 ? "key" : "keys"}`);
    pages.show(data.length, SIZE, meta.count, meta.next_page);
  } catch (error) { if (error.name === "AbortError") return; told(error); failed($("k-fail"), error); }
  mark($("k-rows"), "aria-busy", "false");
}

walk($("k-rows"), (one) => one.querySelector("button")?.click());
$("k-q").addEventListener("input", () => { clearTimeout(now.wait); now.wait = setTimeout(() => { pages.reset(); list(); }, TYPING_MS); });
$("k-state").addEventListener("click", (event) => {
  const one = event.target.closest("button");
  if (!one) return;
  now.state = one.value;
  press($("k-state"), one.value);
  pages.reset();
  list();
});
$("k-all").addEventListener("click", () => { now.state = ""; $("k-q").value = ""; press($("k-state"), ""); pages.reset(); list(); });
$("k-fail").querySelector("[data-again]").addEventListener("click", () => list());
list();
