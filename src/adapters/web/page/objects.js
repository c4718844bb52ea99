// The panel of all accounts, groups and rooms, with a search by name and state.

import { byId, data, el, fill, glyph, later, plural } from "./dom.js";
import { ask } from "./live.js";
import { when } from "./time.js";

const PAGE = 50;
const STATES = {
  failing: ["fails", "bad"], contested: ["reverted", "warning"], refused: ["refused", "warning"],
  "not-in-force": ["not in force", "warning"],
  waiting: ["waits", "warning"], differs: ["differs", "warning"], unknown: ["not known", "unknown"],
  "as-declared": ["as declared", "good"], kept: ["kept", "unknown"], unmanaged: ["unmanaged", "unknown"],
};
const KINDS = { user: "accounts", group: "groups", room: "rooms" };
const body = byId("objects").querySelector(".body");
const search = byId("objects-q");

const asked = { kind: "", state: "", offset: 0 };
let counts = {};
let version = 0;
let running = null;

export function objects(told) {
  counts = told.counts;
  chips();
  if (told.version === version) return;
  const first = version === 0;
  version = told.version;
  if (first) load(); else soon();
}

const soon = later(250, load);
search.addEventListener("input", () => { asked.offset = 0; soon(); });

function chips() {
  const total = (kind) => Object.values(counts[kind] ?? {}).reduce((a, b) => a + b, 0);
  const states = {};
  for (const kind of Object.keys(KINDS)) {
    if (asked.kind && asked.kind !== kind) continue;
    for (const [state, n] of Object.entries(counts[kind] ?? {})) states[state] = (states[state] ?? 0) + n;
  }
  const all = Object.keys(KINDS).reduce((n, kind) => n + total(kind), 0);
  fill(byId("objects-kinds"), { counts, kind: asked.kind }, () => [
    chip("kind", "", "all", all), ...Object.entries(KINDS).map(([kind, word]) => chip("kind", kind, word, total(kind)))]);
  fill(byId("objects-states"), { states, state: asked.state }, () => [
    chip("state", "", "any state", null),
    ...Object.entries(STATES).filter(([state]) => states[state] || asked.state === state)
      .map(([state, [word]]) => chip("state", state, word, states[state] ?? 0))]);
}

function chip(what, value, word, count) {
  const choose = () => { asked[what] = value; asked.offset = 0; chips(); load(); };
  return el("button", { type: "button", "aria-pressed": String(asked[what] === value), "data-key": `${what}-${value}`, click: choose },
    word, count === null ? null : el("small", {}, ` ${count.toLocaleString("en")}`));
}

async function load() {
  running?.abort();
  running = new AbortController();
  const question = new URLSearchParams({ limit: PAGE, offset: asked.offset });
  for (const what of ["kind", "state"]) if (asked[what]) question.set(what, asked[what]);
  if (search.value.trim()) question.set("q", search.value.trim());
  try {
    const answer = await ask(`/api/objects?${question}`, running.signal);
    if (answer.objects.length === 0 && answer.offset > 0 && answer.matched > 0) { asked.offset = 0; return load(); }
    fill(body, { ...answer, version: 0 }, show);
  } catch (error) {
    if (error.name !== "AbortError") fill(body, error.message, (why) => el("p", { class: "refusal" }, why));
  }
}

function show({ objects, matched, offset, total, leftOut }) {
  if (objects.length === 0) {
    return el("p", { class: "quiet" }, total === 0 ? "No objects are known yet." : "No object matches.");
  }
  return [
    el("table", { class: "objects stack" },
      el("thead", {}, el("tr", {}, ["Kind", "Name", "State", "About", "Owned"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, objects.map(row))),
    el("div", { class: "pager" },
      el("button", { type: "button", "data-key": "before", disabled: offset === 0, click: () => turn(-PAGE) }, "Previous"),
      el("button", { type: "button", "data-key": "next", disabled: offset + objects.length >= matched, click: () => turn(PAGE) }, "Next"),
      el("span", {}, `${(offset + 1).toLocaleString("en")} to ${(offset + objects.length).toLocaleString("en")} of ${plural(matched, "object")}`,
        leftOut ? `; ${leftOut.toLocaleString("en")} more are not listed` : null)),
  ];
}

function turn(by) { asked.offset = Math.max(0, asked.offset + by); load(); }

function row(object) {
  const [word, tone] = STATES[object.state] ?? [object.state, "unknown"];
  return el("tr", {},
    el("td", { class: "muted" }, object.kind),
    el("td", { class: "name-cell" }, data(object.name)),
    el("td", { class: `state tone-${tone}` }, glyph(tone), word),
    el("td", {}, object.about ? data(object.about) : null,
      object.why ? el("span", { class: "muted" }, object.about ? " · " : null, data(object.why)) : null),
    el("td", { class: "muted" }, object.ownedSince ? ["since ", when(object.ownedSince, "clock")] : null));
}
