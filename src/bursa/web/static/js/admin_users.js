/* The admin's users: finds them, shows one beside the list, changes tier, rate, role and state with a reason.
   Everything is asked of /admin/api; what an admin may not change is shown locked. */

import { ask, read } from "./account.js";
import { keysCount } from "./display.js";
import { $, mark, node, put } from "./dom.js";
import { compact, fixed } from "./format.js";
import { ago, button, confirm, date, failed, Pages, press, row, state, walk, when } from "./lists.js";
import { say, toast } from "./say.js";
import "./shell.js";

const SIZE = 50, TYPING_MS = 200;
const box = $("users").dataset, form = $("d-form"), root = box.role === "superadmin";
const now = { users: [], tier: "", state: "", chosen: null, asking: null, wait: 0 };
const pages = new Pages("u", () => list());
const told = (error) => { if (error.code === undefined) throw error; };

/* ---- The list ---- */

function line(user) {
  const name = node("span", "b-strong u-name", user.email), first = node("span");
  first.append(name);
  if (user.id === box.own) first.append(" ", node("span", "b-tag", "you"));
  const out = row([
    ["", first], [`b-p3 ${user.role === "user" ? "b-muted" : ""}`, user.role], ["", node("span", "b-tag", user.tier)], ["", state(user.state)], ["num b-p2", fixed(user.keys, 0)],
    [`num b-p3 ${user.machines_allowed && user.machines >= user.machines_allowed ? "b-warn" : ""}`, `${fixed(user.machines, 0)}/${fixed(user.machines_allowed, 0)}`],
    [`num b-p2 ${user.limited ? "b-warn" : ""}`, compact(user.requests), user.limited ? `${fixed(user.limited, 0)} of them answered 429` : ""], ["num b-p3 b-muted", when(user.seen, ago(user.seen))], ["num b-p4 b-p3 b-faint", when(user.created, date(user.created))],
  ]);
  out.dataset.row = user.id;
  out.tabIndex = 0;
  mark(out, "aria-selected", String(user.id === now.chosen?.id));
  return out;
}

async function list() {
  now.asking?.abort();
  const asking = (now.asking = new AbortController()), q = $("u-q").value.trim();
  mark($("u-rows"), "aria-busy", "true");
  try {
    const { data, meta } = await read("/admin/api/users", { q, tier: now.tier, state: now.state, limit: SIZE, page: pages.at }, { signal: asking.signal });
    now.users = data;
    failed($("u-fail"), null);
    const focused = document.activeElement?.closest("#u-rows tr")?.dataset.row;
    $("u-rows").replaceChildren(...data.map(line));
    if (focused) $("u-rows").querySelector(`[data-row="${CSS.escape(focused)}"]`)?.focus();
    $("u-table").hidden = !data.length;
    $("u-empty").hidden = data.length > 0;
    put($("u-empty-words"), q || now.tier || now.state ? `No user holds ${[q && `\u201c${q}\u201d`, now.tier, now.state].filter(Boolean).join(", ")}.` : "There are no users.");
    pages.show(data.length, SIZE, meta.count, meta.next_page);
    figures(meta);
  } catch (error) { if (error.name === "AbortError") return; told(error); failed($("u-fail"), error); }
  mark($("u-rows"), "aria-busy", "false");
}

/* How many of each tier, where the answer tells it. */
function figures({ tiers, people }) {
  if (!tiers) return;
  const all = Object.values(tiers).reduce((sum, n) => sum + n, 0);
  put($("sum"), `${fixed(people ?? all, 0)} ${(people ?? all) === 1 ? "person" : "people"}`);
  /* Lowest tier first, as the filter has them; one that is gone from the matrix behind them. */
  const names = [...new Set([...[...$("u-tier").querySelectorAll("button")].map(({ value }) => value).filter(Boolean), ...Object.keys(tiers)])];
  $("figs").replaceChildren(...names.map((name) => [name, tiers[name] ?? 0]).map(([name, n]) => {
    const fig = node("div", "b-fig");
    fig.append(node("dt", "", name.charAt(0).toUpperCase() + name.slice(1)), node("dd", "", fixed(n, 0)));
    return fig;
  }));
  $("figs").classList.toggle("b-figs--3", names.length === 3);
}

/* ---- The drawer ---- */

async function open(id) {
  try {
    show((await read(`/admin/api/users/${encodeURIComponent(id)}`)).data);
    for (const one of $("u-rows").querySelectorAll("tr")) mark(one, "aria-selected", String(one.dataset.row === id));
    /* On a narrow page it lies under the list. */
    if (matchMedia("(max-width: 1240px)").matches) { $("drawer").scrollIntoView({ block: "start" }); $("drawer").focus({ preventScroll: true }); }
  } catch (error) { told(error); toast(`${error.message} (${error.code})`, true); }
}

function lock(user) {
  const own = user.id === box.own, above = !root && user.role !== "user";
  const why = own ? "Your own role and tier are changed by another superadmin." : above ? "Admins are changed by a superadmin." : root ? "" : "Roles are changed by a superadmin, and by nobody for themselves.";
  for (const name of ["tier", "rate", "role"]) { const input = form.elements.namedItem(name); if (input) input.disabled = own || above; }
  form.elements.namedItem("reason").disabled = own || above;
  for (const one of form.querySelectorAll("button")) one.disabled = own || above;
  $("d-danger").hidden = own || above;
  $("d-locked").hidden = !why;
  put($("d-locked").lastElementChild, why);
}

function show(user) {
  now.chosen = user;
  $("d-none").hidden = true;
  $("d").hidden = false;
  put($("d-email"), user.email);
  put($("d-state"), `${user.state === "disabled" ? "suspended" : user.state}${user.verified ? ", verified" : user.state === "unverified" ? "" : ", not verified"}`);
  put($("d-role-words"), user.role);
  put($("d-seen"), ago(user.seen));
  put($("d-keys"), fixed(user.keys, 0));
  put($("d-machines"), `${fixed(user.machines, 0)} of ${fixed(user.machines_allowed, 0)}`);
  put($("d-requests"), `${fixed(user.requests, 0)}${user.limited ? `, ${fixed(user.limited, 0)} answered 429` : ""}`);
  put($("d-disable"), user.state === "disabled" ? "Let in again" : "Suspend");
  fill();
  lock(user);
  keyList(user);
  recent(user.recent ?? []);
}

/* A rate of one's own as it is written: "" where the tier's holds. */
const rateWords = ({ rate }) => (rate === undefined ? "" : rate === null ? "unlimited" : String(rate));

function fill() {
  const user = now.chosen;
  form.elements.namedItem("tier").value = user.tier;
  form.elements.namedItem("rate").value = rateWords(user.override);
  if (form.elements.namedItem("role")) form.elements.namedItem("role").value = user.role;
  form.elements.namedItem("reason").value = "";
  clear();
}

async function keyList(user) {
  $("d-keylist-box").hidden = true;
  if (!user.keys) return;
  try {
    const { data } = await read("/admin/api/keys", { user: user.id, state: "active", limit: 20 });
    if (now.chosen?.id !== user.id) return;
    $("d-keylist").replaceChildren(...data.map((key) => {
      const item = node("li"), asked = node("div"), act = button("Revoke", "b-btn--bare b-bad", () => revoke(key, asked, act));
      act.setAttribute("aria-label", `Revoke ${key.name}`);
      act.disabled = form.elements.namedItem("reason").disabled && user.id !== box.own;
      asked.hidden = true;
      item.append(node("span", "u-name", key.name), node("code", "b-faint", `${key.prefix}\u2026${key.last4}`), act, asked);
      return item;
    }));
    $("d-keylist-box").hidden = !data.length;
  } catch (error) { told(error); }
}

function revoke(key, asked, opener) {
  confirm(asked, {
    words: `What uses ${key.name} stops within a second, for good.`, label: "Reason, kept in the audit", verb: "Revoke", back: opener,
    act: async (reason) => {
      await ask("DELETE", `/admin/api/keys/${encodeURIComponent(key.id)}?${new URLSearchParams({ reason })}`);
      toast(`${key.name} is revoked.`);
      await again();
    },
  });
}

/* Rights of one's own are kept as JSON. */
const fields = (value) => { try { return typeof value === "string" && value.startsWith("{") ? JSON.parse(value) : value; } catch { return value; } };
const brief = (value) => inWords(fields(value));
const inWords = (value) => (value === null || value === undefined ? "\u2013" : typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name} ${brief(one)}`).join(", ") || "none" : String(value));

function recent(events) {
  $("d-recent-box").hidden = !events.length;
  $("d-recent").replaceChildren(...events.map(({ at, actor, actor_name: name, act, before, after, ok }) => {
    const item = node("li"), what = node("span", "", act.replaceAll(/[._]/g, " "));
    const changed = before && after && typeof before === "object" && typeof after === "object" ? Object.keys(after).filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]) && name !== "reason") : [];
    /* "user tier" has said that it is the tier. */
    for (const field of changed) what.append(act.endsWith(field) ? " " : ` ${field} `, node("del", "", brief(before[field])), " ", node("ins", "", brief(after[field])));
    if (ok === false) what.append(", refused");
    if (actor && actor !== now.chosen.id) what.append(` by ${name || actor}`);
    item.append(when(at, ago(at)), what);
    return item;
  }));
}

async function again() {
  const { id } = now.chosen;
  await Promise.all([list(), open(id)]);
}

function close() {
  const id = now.chosen?.id;
  now.chosen = null;
  $("d").hidden = true;
  $("d-none").hidden = false;
  const from = $("u-rows").querySelector('[aria-selected="true"]');
  if (from) mark(from, "aria-selected", "false");
  if (id) $("u-rows").querySelector(`[data-row="${CSS.escape(id)}"]`)?.focus();
}

function clear() {
  for (const help of form.querySelectorAll("[data-help]")) { put(help, help.dataset.help); help.classList.remove("b-bad"); }
  for (const input of form.querySelectorAll("input")) mark(input, "aria-invalid", null);
}

function wrong(name, text) {
  const input = form.elements.namedItem(name), help = $(`h-${name}`);
  if (!help) return false;
  put(help, text);
  help.classList.add("b-bad");
  mark(input, "aria-invalid", "true");
  input.focus();
  return true;
}

/* What was changed in the form: {tier, override, role}; null where a field is wrong. */
function changes() {
  const user = now.chosen, wanted = {}, { tier, rate, role } = Object.fromEntries(new FormData(form)), text = rate.replaceAll(/[\s,.]/g, "").toLowerCase();
  if (text && text !== "unlimited" && !/^[1-9]\d{0,8}$/.test(text)) { wrong("rate", "A whole number of requests a minute, “unlimited”, or nothing."); return null; }
  if (tier !== user.tier) wanted.tier = tier;
  if (role && role !== user.role) wanted.role = role;
  if (text !== rateWords(user.override)) {
    const { rate: _, ...rest } = user.override;
    wanted.override = text ? { ...rest, rate: text === "unlimited" ? null : Number(text) } : rest;
  }
  return wanted;
}

async function change(wanted, words) {
  const { email, id } = now.chosen;
  await ask("PATCH", `/admin/api/users/${encodeURIComponent(id)}`, wanted);
  toast(words ?? `${email}: saved, and live within a second.`);
  say(`${email} is changed.`);
  await again();
}

form.addEventListener("reset", (event) => { event.preventDefault(); fill(); });
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clear();
  const wanted = changes(), reason = form.elements.namedItem("reason").value.trim();
  if (wanted === null) return;
  if (!Object.keys(wanted).length) { toast("Nothing is changed."); return; }
  if (!reason) { wrong("reason", "Say why: it is kept in the audit."); return; }
  const go = form.querySelector("[type=submit]");
  go.disabled = true;
  try { await change({ ...wanted, reason }); } catch (error) {
    told(error);
    if (!wrong(error.parameter === "override" ? "rate" : error.parameter, error.message)) toast(`${error.message} (${error.code})`, true);
  } finally { go.disabled = false; }
});
$("d-disable").addEventListener("click", () => {
  const user = now.chosen, out = user.state !== "disabled", asked = $("d-danger").nextElementSibling ?? $("d").appendChild(node("div"));
  confirm(asked, {
    words: out ? `${user.email} is signed out everywhere, and his keys are refused within a second.` : `${user.email} can sign in again, and his keys work.`, label: "Reason, kept in the audit", verb: out ? "Suspend" : "Let in", back: $("d-disable"),
    act: async (reason) => {
      asked.replaceChildren();
      await change({ state: out ? "disabled" : "active", reason }, `${user.email} is ${out ? "suspended" : "let in again"}.`);
    },
  });
});

/* ---- Hands ---- */

walk($("u-rows"), (one) => open(one.dataset.row));
$("d-close").addEventListener("click", close);
$("u-q").addEventListener("input", () => { clearTimeout(now.wait); now.wait = setTimeout(() => { pages.reset(); list(); }, TYPING_MS); });
$("u-tier").addEventListener("click", (event) => {
  const one = event.target.closest("button");
  if (!one) return;
  now.tier = one.value;
  press($("u-tier"), one.value);
  pages.reset();
  list();
});
$("u-state").addEventListener("change", () => { now.state = $("u-state").value; pages.reset(); list(); });
$("u-all").addEventListener("click", () => {
  Object.assign(now, { tier: "", state: "" });
  $("u-q").value = $("u-state").value = "";
  press($("u-tier"), "");
  pages.reset();
  list();
});
$("u-fail").querySelector("[data-again]").addEventListener("click", () => list());
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && keysCount(event) && now.chosen) close(); });
document.addEventListener("bursa:display", ({ detail }) => { if (detail.name === "numbers") { list(); if (now.chosen) show(now.chosen); } });
list();
