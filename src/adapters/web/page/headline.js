// The headline, and the title of the tab.

import { byId, data, el, fill, GLYPHS, plain } from "./dom.js";
import { when } from "./time.js";

export function headline(told, status) {
  const box = byId("headline");
  box.className = `headline tone-${told.tone}`;
  box.querySelector(".mark").textContent = GLYPHS[told.tone];
  const name = status?.name || "ejabberd-operator";
  document.title = plain(`${GLYPHS[told.tone]} ${told.what} · ${name}`);
  const spoken = `${told.what}. ${told.why}`;
  if (byId("spoken").textContent !== spoken && told.tone !== "busy") byId("spoken").textContent = plain(spoken);
  const looked = told.tone === "good" ? status?.lastAttempt : null;
  fill(byId("sentence"), { told, looked }, () => [
    el("h1", {}, told.what, told.since ? since(told.since) : null),
    told.why || told.doing ? el("p", {}, told.why ? data(sentence(told.why)) : null, told.doing ? doing(told) : null) : null,
    looked ? el("p", { class: "muted" }, "Observed ", when(looked, "ago"), ".") : null,
    told.also.length ? el("ul", { class: "also" }, told.also.map((also) => el("li", {}, data(also)))) : null,
  ]);
}

function since(moment) {
  return el("span", { class: "since" }, " since ", when(moment, "clock"), " (", when(moment, "for"), ")");
}

function doing(told) {
  const words = told.doing.charAt(0).toUpperCase() + told.doing.slice(1);
  return el("span", { class: "doing" }, told.why ? " " : null, words, told.at ? [" ", when(told.at, "in")] : null, ".");
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
