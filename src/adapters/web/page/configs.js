// The panel of the good configurations, and the differences between two good configurations.

import { byId, data, el, fill, plural } from "./dom.js";
import { ask } from "./live.js";
import { when } from "./time.js";

const body = byId("configurations").querySelector(".body");
let list = null;
let chosen = { from: "", to: "" };
let shown = null;
let digest;

export async function configs(status) {
  const key = `${status.configDigest} ${status.conditions.find((c) => c.type === "ConfigApplied")?.lastTransitionTime}`;
  if (key === digest) return;
  digest = key;
  try {
    list = await ask("/api/configs");
    const [latest, before] = list.good;
    const there = (wanted) => list.good.some((good) => good.digest === wanted);
    if (!there(chosen.from) || !there(chosen.to)) {
      chosen = { from: before?.digest ?? "", to: latest?.digest ?? "" };
    } else if (chosen.to !== latest.digest && shown?.latest === chosen.to) {
      chosen = { from: chosen.to, to: latest.digest };
    }
    await compare();
  } catch (error) {
    digest = undefined;
    fill(body, error.message, (why) => el("p", { class: "refusal" }, why));
  }
}

async function compare() {
  shown = { latest: list.good[0]?.digest };
  if (chosen.from && chosen.to && chosen.from !== chosen.to) {
    try {
      shown.answer = await ask(`/api/configs/diff?${new URLSearchParams(chosen)}`);
    } catch (error) { shown.failure = error.message; }
  }
  fill(body, { list, chosen, shown }, show);
}

function show() {
  const { good, inForce, heldBack } = list;
  return [
    heldBack ? el("div", { class: "call tone-bad" },
      el("h3", {}, "Held back: ", data(heldBack.digest.slice(0, 12), "code"), " since ", when(heldBack.since, "clock")),
      el("p", {}, data(heldBack.message)),
      el("p", { class: "muted" }, "The operator tries this configuration again when it changes, or after ", el("code", {}, "ejabberd-operator retry"), ".")) : null,
    good.length === 0 ? el("p", { class: "quiet" }, "No configuration has passed the health gate yet.") :
      el("table", { class: "configs stack" },
        el("thead", {}, el("tr", {}, ["Digest", "Variant", "Revision", "Good since"].map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, good.map((one) => el("tr", { class: "tone-good" },
          el("td", {}, data(one.digest.slice(0, 12), "code")),
          el("td", {}, data(one.variant), " ", one.digest === inForce ? el("span", { class: "tag" }, "in force") : null),
          el("td", {}, data(one.revision.slice(0, 12), "code")),
          el("td", { class: "muted" }, when(one.since, "clock"), " (", when(one.since, "ago"), ")"))))),
    good.length > 1 ? [
      el("div", { class: "compare" }, "Differences from", choice("from"), "to", choice("to")),
      shown.failure ? el("p", { class: "refusal" }, shown.failure) : null,
      chosen.from === chosen.to ? el("p", { class: "quiet" }, "These are the same configuration.") : null,
      shown.answer ? differences(shown.answer) : null] : null,
  ];
}

function choice(which) {
  const change = (event) => { chosen = { ...chosen, [which]: event.target.value }; compare(); };
  return el("select", { change, "aria-label": which === "from" ? "Earlier configuration" : "Later configuration", "data-key": which },
    list.good.map((one) => el("option", { value: one.digest, selected: one.digest === chosen[which] },
      `${one.digest.slice(0, 12)} (${one.variant})`)));
}

const SIGNS = { "+": "plus", "-": "minus", "@": "gap", " ": "" };
const CHANGES = { added: "is new", removed: "was removed", changed: "changed; its content is not shown" };

function differences({ files, options }) {
  const others = files.filter((file) => file.change !== "same" && file.lines.length === 0 && !file.note);
  return [
    options.length ? el("p", {}, `${plural(options.length, "difference")}: `, options.slice(0, 20).map((option, at) => [
      at ? ", " : null, data(option.name, "code"), option.method === "restart" ? " (restart)" : null]),
      options.length > 20 ? `, and ${options.length - 20} more` : null) : null,
    files.filter((file) => file.lines.length || file.note).map((file) => el("figure", { class: "diff", tabindex: "0" },
      el("figcaption", {}, data(file.name, "code"), file.note ? `: ${file.note}` : null,
        el("span", { class: "muted" }, " without comments; possible secrets are shown as ***")),
      el("ol", {}, file.lines.map((line) => el("li", { class: SIGNS[line.sign] },
        line.sign === "@" ? "⋯" : `${line.sign} ${line.text}`))))),
    others.length ? el("ul", {}, others.map((file) => el("li", { class: "quiet" },
      data(file.name, "code"), ` ${CHANGES[file.change]}`))) : null,
  ];
}
