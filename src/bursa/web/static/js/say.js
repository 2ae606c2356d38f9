/* The one polite live region of a page, and toasts. Numbers that tick are not announced; what changes
   what the reader can rely on is: at most every 10 s, at once when it is urgent. */

const QUIET_MS = 10_000;
let last = -QUIET_MS, waiting = 0;

/** Speak a sentence. `urgent`: a gap that opened, a feed that fell silent. */
export function say(text, urgent = false) {
  const region = document.getElementById("say");
  const wait = urgent ? 0 : Math.max(0, last + QUIET_MS - performance.now());
  clearTimeout(waiting);
  waiting = setTimeout(() => { last = performance.now(); region.textContent = text; }, wait);
}

/** A line at the corner; errors stay until they are closed. */
export function toast(text, isError = false) {
  let box = document.querySelector(`.b-toasts[role=${isError ? "alert" : "status"}]`);
  if (!box) {
    box = document.createElement("div");
    box.className = "b-toasts";
    box.setAttribute("role", isError ? "alert" : "status");
    document.body.append(box);
  }
  const line = document.createElement("div"), words = document.createElement("span");
  line.className = "b-toast";
  words.className = "b-grow";
  words.textContent = text;
  line.append(words);
  if (isError) {
    const close = document.createElement("button");
    close.className = "b-btn b-btn--bare";
    close.textContent = "Close";
    close.addEventListener("click", () => line.remove());
    line.append(close);
  } else setTimeout(() => line.remove(), 4000);
  box.append(line);
}
