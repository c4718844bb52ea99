// The panels of the differences, the steps of the last round, and the deferred steps.

import { byId, copyable, data, el, fill, plural } from "./dom.js";

const SIGNS = { create: ["+", "good"], update: ["~", "warning"], delete: ["−", "bad"] };
const FEW = 8;

export function changes(status, plan) {
  const { failing, failingCount, contested, drift } = status;
  const round = plan && { ...plan, started: null, tookMs: null, cpuPercent: null, memoryBytes: null };
  const { up } = status.server;
  fill(byId("changes").querySelector(".body"), { failing, failingCount, contested, drift, round, up }, () => [
    up || !plan ? null : el("p", { class: "quiet" }, "The server does not respond. The following data is from the last round in which the server answered."),
    plan?.blocked ? refused(plan) : null,
    named("Changes that fail", "bad", failing, failingCount),
    named("Reverted by another program", "warning", contested, Object.keys(contested).length),
    waiting(plan, { ...failing, ...contested }),
    unknown(plan),
    quiet(status, plan),
    done(plan),
    summary(plan),
  ]);
}

function refused(plan) {
  const { reason, deletions, leftOut } = plan.blocked;
  const edit = `spec:\n  policy:\n    guard: { approve: ${plan.digest} }`;
  return el("div", { class: "call tone-warning", id: "refused-deletions" },
    el("h3", {}, `${plural(deletions.length + leftOut, "change")} refused`),
    el("p", {}, data(reason)),
    folded("refused", deletions.map((step) => el("li", {}, `${step.kind} `, data(step.name, "code"),
      el("span", { class: "muted" }, ` ${step.reason}`))), leftOut),
    el("h3", {}, "To delete them, approve the deletions in the desired state:"),
    copyable(edit),
    el("p", { class: "muted" }, "Or, while no operator runs, on the command line:"),
    copyable(`ejabberd-operator apply --approve ${plan.digest}`));
}

function named(title, tone, objects, count) {
  const names = Object.entries(objects);
  if (names.length === 0) return null;
  return el("div", { class: `call tone-${tone}` },
    el("h3", {}, `${title}: ${count.toLocaleString("en")}`),
    folded(title, names.map(([name, why]) =>
      el("li", {}, data(name, "code"), el("span", { class: "muted" }, " ", data(why)))), Math.max(0, count - names.length)));
}

function folded(key, items, leftOut) {
  const more = items.slice(FEW);
  return [
    el("ul", {}, items.slice(0, FEW)),
    more.length ? el("details", { "data-key": key },
      el("summary", {}, `${plural(more.length + leftOut, "more")}`.replace("mores", "more")),
      el("ul", {}, more, leftOut ? el("li", { class: "muted" }, `… and ${leftOut.toLocaleString("en")} more`) : null)) : null,
  ];
}

function step(told) {
  const [sign, tone] = SIGNS[told.op];
  const fields = told.fields.length ? ` (${told.fields.join(", ")})` : "";
  const failed = told.result === "failed";
  return el("li", { class: `tone-${tone}` },
    el("span", { class: "sign", title: told.op }, sign),
    el("span", { class: "what muted" }, told.kind),
    el("span", { class: "what" }, data(told.name, "code")),
    el("span", { class: "why" }, data(`${told.reason}${fields}`)),
    told.error ? el("span", { class: `error ${failed ? "tone-bad" : "tone-unknown"}` },
      data(failed ? told.error : `waits: ${told.error}`)) : null);
}

function waiting(plan, named) {
  const left = (plan?.steps ?? []).filter((s) => s.result !== "done" && s.result !== "failed" && !(`${s.kind} ${s.name}` in named));
  if (left.length === 0) return null;
  return [
    el("h3", {}, plan.held ? `Different, but not changed: ${plan.held}` : "Pending"),
    el("ul", { class: "steps" }, left.slice(0, 50).map(step)),
    more(left.length - 50 + plan.stepsLeftOut, left.length > 50 || (plan.stepsLeftOut && left.length === plan.steps.length)),
  ];
}

function more(count, is) {
  return is && count > 0 ? el("p", { class: "quiet" }, `… and ${count.toLocaleString("en")} more`) : null;
}

function unknown(plan) {
  const told = [...(plan?.unknown ?? []).map((why) => ["Not known", why]), ...(plan?.notes ?? []).map((note) => ["Note", note])];
  return told.length ? el("ul", {}, told.slice(0, 50).map(([word, text]) =>
    el("li", { class: "quiet" }, el("b", {}, `${word}: `), data(text)))) : null;
}

function quiet(status, plan) {
  const left = Object.entries(status.drift);
  if (!plan) return el("p", { class: "quiet" }, "No round has ended yet.");
  if (left.length) {
    return el("p", { class: "quiet" }, "Still different: ",
      left.map(([what, n]) => `${n.toLocaleString("en")} × ${what}`).join(", "));
  }
  return plan.blocked || plan.unknown.length || !status.server.up ? null : el("p", { class: "quiet" }, "Nothing to do.");
}

function done(plan) {
  const steps = (plan?.steps ?? []).filter((s) => s.result === "done");
  if (steps.length === 0) return null;
  const all = steps.length + plan.stepsLeftOut;
  return el("details", { "data-key": "done", open: steps.length <= 5 },
    el("summary", {}, `Done in the last round: ${all.toLocaleString("en")}`),
    el("ul", { class: "steps" }, steps.slice(0, 50).map(step)),
    more(all - 50, all > 50));
}

function summary(plan) {
  if (!plan) return null;
  const { unchanged, unmanaged } = plan.summary;
  return el("p", { class: "summary" },
    `${plural(unchanged, "object")} as declared, ${unmanaged.toLocaleString("en")} unmanaged. Revision `,
    data(plan.revision.slice(0, 12), "code"), ".");
}
