// The panel of the security checklist. The items that do not hold are first.

import { byId, data, el, fill, glyph, plural } from "./dom.js";
import { when } from "./time.js";

const TONES = { holds: "good", fails: "bad", unknown: "unknown" };
const ORDER = ["fails", "unknown", "holds"];

export function audit(findings, status) {
  const time = status?.audit?.time ?? null;
  fill(byId("security").querySelector(".body"), { findings, time }, () => {
    if (!findings) return el("p", { class: "quiet" }, "The checklist has not been checked yet.");
    const sorted = findings.slice().sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict));
    const bad = sorted.filter((finding) => finding.verdict !== "holds");
    const good = sorted.filter((finding) => finding.verdict === "holds");
    return [
      el("p", { class: "muted" }, `${good.length} of ${plural(findings.length, "item")} hold`,
        time ? [", checked ", when(time, "ago")] : null, "."),
      bad.length ? el("ul", { class: "audit" }, bad.map((finding) => item(finding))) : null,
      good.length ? el("details", { "data-key": "holds" }, el("summary", {}, `${plural(good.length, "item")} that hold`.replace("item that", "item that")),
        el("ul", { class: "audit" }, good.map((finding) => item(finding)))) : null,
    ];
  });
}

function item(finding) {
  const tone = TONES[finding.verdict];
  return el("li", { class: `tone-${tone}` },
    el("details", { "data-key": finding.check },
      el("summary", {}, glyph(tone), el("span", {}, finding.title), el("span", { class: "seen" }, data(finding.seen))),
      el("dl", {},
        el("dt", {}, "Why it matters"), el("dd", {}, finding.why),
        finding.verdict === "holds" ? null : [el("dt", {}, "What to do"), el("dd", {}, finding.mend)],
        el("dt", {}, "Name"), el("dd", { class: "code" }, finding.check))));
}
