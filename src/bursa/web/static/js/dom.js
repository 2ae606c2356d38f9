/* Elements made and changed without a needless write: what did not change is not touched, so that nothing
   is laid out, painted or read aloud anew. Knows no page. */

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** An element with a class and a text; either may be left out. */
export function node(name, className, text) {
  const out = document.createElement(name);
  if (className) out.className = className;
  if (text !== undefined) out.textContent = text;
  return out;
}

/** An element of SVG with attributes and perhaps a text. */
export function shape(name, attributes, text) {
  const out = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) out.setAttribute(key, value);
  if (text !== undefined) out.textContent = text;
  return out;
}

/** Set an element's text if it is another one. True if it was. */
export function put(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

/** Set an attribute if it is another one; null takes it away. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Give an element exactly one of the classes b-up, b-down, b-flat; "" for none of them. */
export function lean(element, direction) {
  for (const name of ["b-up", "b-down", "b-flat"]) element.classList.toggle(name, name === direction);
}

/** Wash elements for a tick, [[element, "b-tick-up" | "b-tick-down"], ...]; the wash fades by itself and the
    class, an underline where motion is not wanted, goes after `ms`. */
export function tick(washes, ms = 700) {
  for (const [element] of washes) element.classList.remove("b-tick-up", "b-tick-down");
  if (washes.length) void document.body.offsetWidth; // so that a wash under way begins anew
  for (const [element, name] of washes) {
    element.classList.add(name);
    clearTimeout(element.fading);
    element.fading = setTimeout(() => element.classList.remove(name), ms);
  }
}
