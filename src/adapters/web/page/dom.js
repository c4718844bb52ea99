// Creates elements. A text becomes a text node and never HTML. This module escapes control
// characters and characters that change the text direction, because such characters could disguise
// a text.

const TREACHEROUS = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

export function plain(text) {
  return String(text).replace(TREACHEROUS, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);
}

// Creates an element. `props` are the attributes; a function in `props` becomes a listener. A child
// is a text, an element, a list of texts and elements, or an empty value.
export function el(name, props = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key, value);
    else element.setAttribute(key, value === true ? "" : plain(value));
  }
  element.append(...nodes(children));
  return element;
}

export function nodes(children) {
  return children.flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(plain(child))));
}

// Creates an element for a name or a text from the server. The text direction is isolated, so that
// the text cannot change the text around it.
export function data(text, kind = "") {
  return el("span", { class: `data ${kind}`.trim() }, text);
}

export function byId(id) { return document.getElementById(id); }

// Fills the body of a panel if the data of the panel has changed. So an unchanged panel keeps its
// selection and its open parts.
const shown = new Map();
export function fill(target, what, make) {
  const key = JSON.stringify(what);
  if (shown.get(target) === key) return;
  shown.set(target, key);
  const open = new Set([...target.querySelectorAll("details[open]")].map((d) => d.dataset.key));
  const focus = target.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  target.replaceChildren(...nodes([make(what)]));
  for (const details of target.querySelectorAll("details")) {
    if (open.has(details.dataset.key)) details.open = true;
  }
  if (focus) [...target.querySelectorAll("[data-key]")].find((e) => e.dataset.key === focus)?.focus();
}

// Runs `work` when no further call arrives for `milliseconds`.
export function later(milliseconds, work) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(work, milliseconds); };
}

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

export const GLYPHS = { good: "✓", busy: "↻", warning: "!", bad: "✕", unknown: "?" };

export function glyph(tone) {
  return el("span", { class: "glyph", "aria-hidden": "true" }, GLYPHS[tone]);
}

export function copyable(text) {
  const button = el("button", { type: "button", click: async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } }, "Copy");
  return el("div", { class: "copy" }, el("pre", {}, ...lines(text)), navigator.clipboard ? button : null);
}

function lines(text) {
  return text.split("\n").flatMap((line, at) => (at === 0 ? [line] : [el("br"), line]));
}
