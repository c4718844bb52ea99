// The panel of the events, the latest event first.

import { byId, data, el, later, nodes } from "./dom.js";
import { ask } from "./live.js";
import { clock, day, now, when } from "./time.js";

const PAGE = 50;
const body = byId("events").querySelector(".body");
const search = byId("events-q");
const warnings = byId("events-warnings");

let recent = [];
let kept = []; // Older events, or the events that a search found.
let matched = null;
let failure = "";
const elements = new Map(); // By number and count, to reuse the elements of unchanged events.

const asks = () => search.value.trim() !== "" || warnings.checked;

export function events(status) {
  const before = JSON.stringify(recent);
  recent = status.events.slice().reverse();
  if (JSON.stringify(recent) === before) return;
  if (asks()) again(); else show();
}

const again = later(200, () => fetchMore(0));
search.addEventListener("input", again);
warnings.addEventListener("change", again);

async function fetchMore(offset) {
  if (!asks() && offset === 0) { kept = []; matched = null; return show(); }
  const question = new URLSearchParams({ limit: PAGE, offset });
  if (search.value.trim()) question.set("q", search.value.trim());
  if (warnings.checked) question.set("type", "Warning");
  try {
    const answer = await ask(`/api/events?${question}`);
    kept = offset === 0 ? answer.events : kept.concat(answer.events);
    matched = answer.matched;
    failure = "";
  } catch (error) { failure = error.message; }
  show();
}

function all() {
  if (asks()) return kept;
  const known = new Set(recent.map((event) => event.id));
  return recent.concat(kept.filter((event) => !known.has(event.id)));
}

function show() {
  const list = all();
  const items = [];
  let last = day(now());
  for (const event of list) {
    const its = day(Date.parse(event.time));
    if (its !== last) items.push(el("li", { class: "day" }, its));
    last = its;
    const key = `${event.id} ${event.count} ${event.time}`;
    if (!elements.has(key)) elements.set(key, line(event));
    items.push(elements.get(key));
  }
  if (elements.size > 3000) elements.clear();
  const complete = matched !== null && (asks() ? kept.length >= matched : list.length >= matched);
  let scroll = body.querySelector(".scroll");
  if (!scroll) {
    scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Events" }, el("ol", { class: "timeline" }));
    body.replaceChildren(scroll, el("div", { class: "end" }));
  }
  place(scroll.firstChild, items);
  body.lastChild.replaceChildren(...nodes([
    failure ? el("p", { class: "refusal" }, failure) : null,
    list.length === 0 ? el("p", { class: "quiet" }, asks() ? "No event matches." : "There are no events yet.") : null,
    !complete && list.length >= (asks() ? 1 : PAGE) ? el("button", { type: "button", class: "more", click: older }, "Older events") : null,
  ]));
}

// Moves only the items at a wrong position, so that a selection in the other items stays.
function place(list, items) {
  const wanted = new Set(items);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  items.forEach((item, at) => { if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null); });
}

function older() { fetchMore(asks() ? kept.length : recent.length + kept.length); }

function line(event) {
  const tone = event.type === "Warning" ? "warning" : "good";
  return el("li", { class: `tone-${tone}`, "data-id": event.id },
    el("span", { class: "dot", title: event.type }),
    when(event.time, "time"),
    el("div", {},
      el("span", { class: "reason" }, event.reason), " ",
      event.object ? [data(event.object, "object"), " "] : null,
      el("span", { class: "message" }, data(event.message)),
      event.count > 1 ? el("span", { class: "count" }, ` × ${event.count.toLocaleString("en")} since ${clock(Date.parse(event.first))}`) : null));
}
