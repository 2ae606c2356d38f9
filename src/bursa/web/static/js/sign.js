/* The forms before the door: sends one as JSON, says what was wrong where it was wrong, goes on or shows
   what comes next. Same words for an unknown user and a wrong password: the server's. */

import { ask, comeBack } from "./account.js";
import { $, mark, put } from "./dom.js";
import "./shell.js";

const form = document.querySelector(".g-form");

/* Help comes back where an error stood. */
function clear() {
  $("problem").hidden = true;
  for (const help of form.querySelectorAll("[data-help]")) { put(help, help.dataset.help); help.classList.remove("b-bad"); }
  for (const input of form.querySelectorAll("input")) mark(input, "aria-invalid", null);
}

function wrong(name, text) {
  const input = form.elements.namedItem(name), help = $(`h-${name}`);
  if (!help || !input) return false;
  put(help, text);
  help.classList.add("b-bad");
  mark(input, "aria-invalid", "true");
  input.focus();
  return true;
}

function refused({ message, code, status, wait, parameter, request }) {
  if (status === 400 && wrong(parameter, sentence(message, parameter))) return;
  put($("problem-text"), status === 429 && wait ? `Too many tries. Come back ${comeBack(wait)}.` : code === "unreachable" ? "The server does not answer. Nothing was sent twice; try again." : sentence(message, parameter));
  put($("problem-code"), code);
  $("problem-code").title = request ? `request ${request}` : "";
  mark($("problem"), "data-code", code);
  $("problem").hidden = false;
  if (code === "sign_in_failed") form.elements.namedItem("password").select();
}

/* Beside its field a message need not name it. */
function sentence(message, parameter) {
  const text = message.startsWith(`${parameter}: `) ? message.slice(parameter.length + 2) : message;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/* Checked here in the same place where the server would be heard. */
function complete() {
  for (const input of form.querySelectorAll("input[required]")) {
    if (input.validity.valid) continue;
    const least = input.minLength;
    const text = input.validity.valueMissing ? "This is needed." : input.validity.tooShort ? `At least ${least} characters; these are ${input.value.length}.` : "This is no e-mail address.";
    return !wrong(input.name, text);
  }
  return true;
}

function shown(data) {
  form.hidden = true;
  for (const other of document.querySelectorAll(".g-else")) other.hidden = true;
  if ($("done-email") && data?.email) put($("done-email"), data.email);
  /* The secret of the letter is spent: it need not stay in the address. */
  history.replaceState(null, "", location.pathname);
  $("done").hidden = false;
  $("done").focus();
}

async function send(event) {
  event.preventDefault();
  clear();
  if (!complete()) return;
  const button = form.querySelector("[type=submit]"), { next, ...fields } = Object.fromEntries(new FormData(form));
  button.disabled = true;
  try {
    const { data } = await ask("POST", form.getAttribute("action"), fields, { here: true });
    if (form.dataset.then === "go") { location.assign(form.dataset.next); return; }
    shown({ ...fields, ...data });
  } catch (error) {
    if (error.code === undefined) throw error;
    refused(error);
  } finally { button.disabled = false; }
}

if (form) {
  form.noValidate = true;
  form.addEventListener("submit", send);
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-reveal]");
    if (!button) return;
    const input = $(button.dataset.reveal), open = input.type === "password";
    input.type = open ? "text" : "password";
    mark(button, "aria-pressed", String(open));
    put(button, open ? "Hide" : "Show");
  });
  (form.querySelector("input:not([type=hidden], [hidden])") ?? form.querySelector("button")).focus();
}
