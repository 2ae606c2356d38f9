/* The portal: makes keys and shows each once, revokes them, releases machines, and tells how much was used and
   how much is left. Everything is asked of /portal/api. */

import { ask, minute, read } from "./account.js";
import { $, mark, node, put, shape } from "./dom.js";
import { compact, fixed } from "./format.js";
import { ago, button, clock, confirm, copying, date, failed, refill, row, state, when } from "./lists.js";
import { say, toast } from "./say.js";
import "./shell.js";

const USAGE_MS = 15_000, HOURS = 24, HOUR_MS = 3_600_000, HIGH = 64;
const now = { keys: [], usage: null, timer: 0 };
const HD = { none: "zeros", scaled: "scaled", raw: "raw" };

const told = (error) => { if (error.code === undefined) throw error; };

/* ---- The tier ---- */

async function me() {
  try {
    const { data } = await read("/portal/api/me"), { rights } = data, many = (n, word) => (n === null ? "unlimited" : n === 0 ? "none" : `${fixed(n, 0)}${word}`);
    put($("plan-h"), data.tier.charAt(0).toUpperCase() + data.tier.slice(1));
    put($("may-timeframes"), rights.timeframes === null ? "all" : rights.timeframes.join(" ") || "none");
    put($("may-history"), many(rights.history_days, " days"));
    put($("may-streamed"), many(rights.stream_symbols, ""));
    put($("may-rows"), fixed(rights.rows, 0));
    put($("may-hd"), HD[rights.hd]);
    $("may-hd-words").hidden = rights.hd !== "scaled";
  } catch (error) { told(error); toast(`Your tier could not be read: ${error.message} (${error.code})`, true); }
}

function rate(found) {
  const box = $("rate-meter"), bar = box.firstElementChild;
  if (!found) { put($("rate-words"), "unlimited"); mark(bar, "width", 0); mark(box, "aria-label", "Requests are not limited"); return; }
  const used = Math.max(0, found.limit - found.left), part = found.limit ? used / found.limit : 0;
  put($("rate-words"), `${fixed(used, 0)} of ${fixed(found.limit, 0)}`);
  mark(bar, "width", `${(Math.min(1, part) * 100).toFixed(1)}%`);
  mark(bar, "class", part > 0.9 ? "m-hi" : "m-ac");
  mark(box, "aria-label", `${used} of ${found.limit} requests this minute`);
}

/* ---- Keys ---- */

const short = ({ prefix, last4 }) => `${prefix}\u2026${last4}`;

function keyRow(key) {
  const used = now.usage?.keys.find(({ id }) => id === key.id)?.requests ?? 0, live = key.state === "active", ends = key.state === "revoked" ? `revoked ${date(key.revoked)}` : key.expires ? date(key.expires) : "never";
  const name = node("span", "b-strong u-name", key.name), revoke = node("span");
  if (live) {
    const act = button("Revoke", "b-btn--bare b-bad", () => askRevoke(key, act));
    act.setAttribute("aria-label", `Revoke ${key.name}`);
    revoke.append(act);
  }
  const first = node("div");
  first.append(name, node("code", "b-sub2", short(key)));
  const line = row([
    ["", first], ["b-p2", node("code", "", short(key))], ["", state(key.state, key.expires)], ["num b-p3 b-muted", when(key.used, ago(key.used, "not yet"))],
    ["num b-p2", compact(used)], ["b-p3 b-muted", when(key.expires, ends)], ["act", revoke],
  ], live ? "" : "b-faint");
  line.dataset.id = key.id;
  return line;
}

function drawKeys() {
  const live = now.keys.filter((key) => key.state === "active").length;
  put($("keys-sub"), now.keys.length ? `${fixed(live, 0)} active of ${fixed(now.keys.length, 0)}` : "");
  $("keys-empty").hidden = now.keys.length > 0;
  $("keys-table").hidden = now.keys.length === 0;
  /* Who answers a question in the table keeps his place. */
  if ($("keys-rows").querySelector(".u-ask")) return;
  refill($("keys-rows"), now.keys.map(keyRow));
  mark($("keys-rows"), "aria-busy", "false");
}

async function keys() {
  try {
    now.keys = (await read("/portal/api/keys")).data;
    failed($("keys-fail"), null);
    drawKeys();
  } catch (error) { told(error); failed($("keys-fail"), error); mark($("keys-rows"), "aria-busy", "false"); }
}

function askRevoke(key, opener) {
  $("keys-rows").querySelector(".u-asking")?.remove();
  const line = node("tr", "u-asking"), cell = node("td");
  cell.colSpan = 7;
  line.append(cell);
  opener.closest("tr").after(line);
  confirm(cell, {
    words: `What uses this key stops within a second, for good. Type its name, ${key.name}, to revoke it.`, label: "Name of the key", verb: "Revoke", typed: key.name.trim(), back: opener, closed: () => line.remove(),
    act: async () => {
      await ask("DELETE", `/portal/api/keys/${encodeURIComponent(key.id)}`);
      line.remove();
      if (!$("made").hidden && $("made").dataset.id === key.id) putAway();
      toast(`${key.name} is revoked.`);
      await keys();
      $("keys-table").focus();
    },
  });
}

function putAway() {
  $("made").hidden = true;
  put($("made-key"), "");
}

$("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("new-name").value.trim(), { days } = Object.fromEntries(new FormData($("new"))), go = $("new").querySelector("[type=submit]");
  const wrong = (text) => { put($("new-help"), text); $("new-help").className = "p-help b-tiny b-bad"; mark($("new-name"), "aria-invalid", "true"); $("new-name").focus(); };
  mark($("new-name"), "aria-invalid", null);
  put($("new-help"), "");
  if (!name) { wrong("Give it a name: where it will live. It tells your keys apart."); return; }
  if (!$("made").hidden) { toast("Put away the key above first: it is shown only there.", true); $("made-kept").focus(); return; }
  go.disabled = true;
  try {
    const expires = days ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : null;
    const { data } = await ask("POST", "/portal/api/keys", { name, expires });
    put($("made-title"), `\u201c${data.name}\u201d is ready`);
    put($("made-at"), `made ${clock(data.created)}`);
    put($("made-key"), data.key);
    $("made").dataset.id = data.id;
    $("made").hidden = false;
    $("new").reset();
    $("made-title").focus();
    $("made").scrollIntoView({ block: "nearest" });
    say(`${data.name} is ready. It is shown this once.`, true);
    await keys();
  } catch (error) { told(error); wrong(`${error.message} (${error.code})`); } finally { go.disabled = false; }
});

$("made-kept").addEventListener("click", () => {
  putAway();
  toast("Put away. The list shows its first and last characters.");
  $("keys-table").focus();
});
/* A key that nobody has kept is not left by mistake. */
addEventListener("beforeunload", (event) => { if (!$("made").hidden) event.preventDefault(); });
copying((text) => toast(text));

/* ---- Machines ---- */

const icon = (name) => { const svg = shape("svg", { class: "b-i", "aria-hidden": "true" }); svg.append(shape("use", { href: `#${name}` })); return svg; };

function slot(machine) {
  const box = node("div", "p-slot"), act = button("Release", "b-btn--bare", () => release(machine, act));
  act.setAttribute("aria-label", `Release ${machine.machine}`);
  box.dataset.id = machine.id;
  box.append(icon("i-desk"), node("span", "b-strong u-name", machine.machine), node("p", "", `${machine.key_name ? `by ${machine.key_name}, ` : ""}plugin ${machine.plugin_version || "unknown"}, heartbeat ${ago(machine.heartbeat)}${/\d/.test(ago(machine.heartbeat)) ? " ago" : ""}`), act);
  return box;
}

async function machines() {
  try {
    const { used, allowed, machines: list } = (await read("/portal/api/machines")).data, free = Math.max(0, allowed - used);
    put($("machines-sub"), `${fixed(used, 0)} of ${fixed(allowed, 0)} in use`);
    const slots = list.map(slot);
    for (let n = 0; n < free; n++) {
      const box = node("div", "p-slot p-slot--free");
      box.append(icon("i-plus"), node("span", "", "Free slot"), node("p", "", "A program takes it by /v1/plugin/activate"));
      slots.push(box);
    }
    refill($("machines-rows"), slots);
    mark($("machines-rows"), "aria-busy", "false");
    failed($("machines-fail"), null);
  } catch (error) { told(error); failed($("machines-fail"), error); mark($("machines-rows"), "aria-busy", "false"); }
}

async function release(machine, act) {
  act.disabled = true;
  try {
    await ask("DELETE", `/portal/api/machines/${encodeURIComponent(machine.id)}`);
    toast(`${machine.machine} is released; its slot is free.`);
    await machines();
    $("machines-h").scrollIntoView({ block: "nearest" });
  } catch (error) { told(error); act.disabled = false; toast(`${error.message} (${error.code})`, true); }
}

/* ---- Usage ---- */

function bars(hours) {
  const end = Math.floor(Date.now() / HOUR_MS), of = new Map(hours.map((hour) => [Math.floor(Date.parse(hour.hour) / HOUR_MS), hour]));
  const list = Array.from({ length: HOURS }, (_, i) => of.get(end - HOURS + 1 + i)), most = Math.max(1, ...list.map((hour) => hour?.requests ?? 0));
  $("usage-bars").replaceChildren(...list.map((hour, i) => {
    const n = hour?.requests ?? 0, high = n ? Math.max(2, (n / most) * HIGH) : 1;
    const bar = shape("rect", { x: `${((i * 100) / HOURS).toFixed(2)}%`, width: "3.2%", y: (HIGH - high).toFixed(1), height: high.toFixed(1), ...(i === HOURS - 1 ? { class: "hi" } : {}) });
    bar.append(shape("title", {}, `${clock(new Date((end - HOURS + 1 + i) * HOUR_MS).toISOString())}: ${fixed(n, 0)} requests${hour?.limited ? `, ${fixed(hour.limited, 0)} answered 429` : ""}`));
    return bar;
  }));
  put($("usage-from"), clock(new Date((end - HOURS + 1) * HOUR_MS).toISOString()));
  put($("usage-to"), "now");
  const sum = (name) => list.reduce((all, hour) => all + (hour?.[name] ?? 0), 0);
  put($("usage-sub"), `${fixed(sum("requests"), 0)} in 24 h`);
  put($("usage-words"), `Rows: ${compact(sum("rows"))}. Too often (429): ${fixed(sum("limited"), 0)}. Refused otherwise: ${fixed(sum("refused"), 0)}.`);
  mark($("usage-bars"), "aria-label", `Requests an hour, last 24 hours: ${sum("requests")} in all, ${most === 1 ? "" : `most in an hour ${most}, `}${sum("limited")} answered 429`);
}

async function usage() {
  clearTimeout(now.timer);
  try {
    const { data, headers } = await read("/portal/api/usage", { days: 1 });
    const fresh = JSON.stringify(data.keys) !== JSON.stringify(now.usage?.keys);
    now.usage = data;
    rate(data.minute === undefined ? minute(headers) : data.minute?.limit == null ? null : data.minute);
    bars(data.hours);
    const lines = data.keys.filter(({ requests }) => requests > 0);
    $("usage-keys").hidden = !lines.length;
    $("usage-keys-rows").replaceChildren(...lines.map((key) => row([["", node("span", "u-name", key.id ? key.name : "these pages"), key.prefix], ["num", compact(key.requests)], [`num ${key.limited ? "b-warn" : "b-faint"}`, fixed(key.limited, 0)]])));
    failed($("usage-fail"), null);
    if (fresh && now.keys.length) drawKeys();
  } catch (error) { told(error); failed($("usage-fail"), error); } finally { now.timer = setTimeout(usage, document.hidden ? 4 * USAGE_MS : USAGE_MS); }
}

/* ---- Hands ---- */

document.addEventListener("click", (event) => {
  const again = event.target.closest("[data-again]")?.parentElement.id;
  if (again) ({ "keys-fail": keys, "machines-fail": machines, "usage-fail": usage })[again]();
});
const tabs = [...document.querySelectorAll("[role=tab]")];
function choose(tab) {
  for (const one of tabs) {
    const on = one === tab;
    mark(one, "aria-selected", String(on));
    one.tabIndex = on ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !on;
  }
}
for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(tabs.indexOf(tab) + by + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
}
/* The examples ask for an instrument that the venue has. */
document.addEventListener("bursa:tape", ({ detail }) => { if (detail.first) for (const one of document.querySelectorAll("[data-first]")) put(one, detail.first); });
document.addEventListener("bursa:display", ({ detail }) => { if (detail.name === "numbers") { drawKeys(); me(); usage(); } });
document.addEventListener("visibilitychange", () => { if (!document.hidden) { keys(); machines(); me(); usage(); } });
function here() { for (const link of document.querySelectorAll(".b-side a")) mark(link, "aria-current", link.hash === (location.hash || "#keys") ? "true" : null); }
addEventListener("hashchange", here);
here();
me();
keys();
machines();
usage();
