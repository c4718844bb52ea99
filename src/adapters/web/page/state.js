// The panels of the conditions and of the numbers of the server.

import { byId, data, el, fill, glyph } from "./dom.js";
import { span, when } from "./time.js";

const BAD_IF_TRUE = ["Stalled", "Degraded"];
const MILD = ["DeletionsRefused", "Drift", "Held", "NewRevision", "RollingOut"];

function tone({ type, status, reason }) {
  if (status === "Unknown") return "unknown";
  if (type === "Reconciling") return status === "True" ? "busy" : "good";
  const good = BAD_IF_TRUE.includes(type) ? "False" : "True";
  if (status === good) return "good";
  return type === "Degraded" || MILD.includes(reason) ? "warning" : "bad";
}

const WORDS = { True: "yes", False: "no", Unknown: "unknown" };

export function conditions(status) {
  fill(byId("conditions").querySelector(".body"), status.conditions, (all) =>
    el("ul", { class: "conditions" }, all.map((condition) =>
      el("li", { class: `tone-${tone(condition)}` },
        glyph(tone(condition)),
        el("span", {}, el("b", {}, condition.type), ` ${WORDS[condition.status]}`,
          el("span", { class: "muted" }, ` · ${condition.reason}`)),
        el("span", { class: "for" }, "since ", when(condition.lastTransitionTime, "clock")),
        el("span", { class: "message" }, data(condition.message))))));
}

const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

function bytes(count) {
  return count >= 1 << 30 ? `${(count / (1 << 30)).toFixed(1)} GiB` : `${Math.round(count / (1 << 20))} MiB`;
}

// Returns the start time of the server, calculated from the uptime in the last round.
function up(server, lastAttempt) {
  if (!server.up || server.uptimeSeconds === null || !lastAttempt) return null;
  return new Date(Date.parse(lastAttempt) - server.uptimeSeconds * 1000).toISOString().slice(0, 16) + ":00Z";
}

export function figures(status, plan) {
  const { server } = status;
  const began = up(server, status.lastAttempt);
  const hosts = (counts) => Object.entries(counts).map(([host, n]) => `${host}: ${n}`).join("\n");
  const what = {
    version: server.version,
    state: server.up ? "running" : server.supervision?.state ?? server.process,
    began,
    sessions: server.up ? [sum(server.connectedUsers), hosts(server.connectedUsers)] : null,
    accounts: server.up ? [sum(server.registeredUsers), hosts(server.registeredUsers)] : null,
    rooms: server.up ? [sum(server.onlineRooms), hosts(server.onlineRooms)] : null,
    cpu: server.up ? plan?.cpuPercent : null,
    memory: server.up ? plan?.memoryBytes : null,
    variant: status.variant,
    took: plan?.tookMs,
  };
  fill(byId("figures"), what, () => [
    figure("ejabberd", what.version ? data(what.version) : what.state),
    figure("Up", what.began ? when(what.began, "for") : "–"),
    figure("Sessions", ...counted(what.sessions)),
    figure("Accounts", ...counted(what.accounts)),
    figure("Rooms", ...counted(what.rooms)),
    figure("CPU", what.cpu === null || what.cpu === undefined ? "–" : `${what.cpu} %`),
    figure("Memory", what.memory ? bytes(what.memory) : "–"),
    figure("Variant", what.variant ? data(what.variant) : "–"),
    figure("Last round", what.took === undefined ? "–" : what.took < 1000 ? `${what.took} ms` : span(what.took)),
  ]);
}

function counted(told) {
  if (!told) return ["–"];
  const [count, hosts] = told;
  return [el("span", { title: hosts.includes("\n") || hosts ? hosts : null }, count.toLocaleString("en"))];
}

function figure(name, ...value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}
