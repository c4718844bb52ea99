// The page of the operator. Passes each event to the panels that show the event.

import { byId, data, el, nodes } from "./page/dom.js";
import { follow, hasToken, keepToken, onToken } from "./page/live.js";
import { now, setClock, when } from "./page/time.js";
import { headline } from "./page/headline.js";
import { conditions, figures } from "./page/state.js";
import { changes } from "./page/plan.js";
import { events } from "./page/events.js";
import { objects } from "./page/objects.js";
import { audit } from "./page/audit.js";
import { configs } from "./page/configs.js";

const known = { status: null, plan: null, audit: undefined, headline: null };

const heard = {
  hello({ now: clock, version }) {
    setClock(clock);
    byId("about").textContent = `ejabberd-operator ${version}`;
  },
  headline(told) { known.headline = told; },
  status(told) {
    known.status = told;
    const revision = told.revision ? `revision ${told.revision.slice(0, 12)}` : "";
    byId("name").replaceChildren(...nodes([data([told.name, revision].filter(Boolean).join(" · "))]));
    conditions(told);
    events(told);
    configs(told);
  },
  plan(told) { known.plan = told; },
  audit(told) { known.audit = told; },
  objects,
};

function tell(name, what) {
  heard[name]?.(what);
  if (!known.status) return;
  if (name === "headline" || name === "status") headline(known.headline, known.status);
  if (name === "status" || name === "plan") { figures(known.status, known.plan); changes(known.status, known.plan); }
  if ((name === "status" || name === "audit") && known.audit !== undefined) audit(known.audit, known.status);
}

let latest = null; // The time of the last message.
let lost = false;

function link(state, why = "") {
  const line = byId("link");
  if (state === "live") {
    latest = now();
    if (!lost && line.classList.contains("live")) return;
    lost = false;
    line.className = "link live";
    line.textContent = "live";
    byId("cut").hidden = true;
    byId("door").hidden = true;
    // A link cannot send the token, so hide the links.
    document.body.classList.toggle("locked", hasToken());
    byId("all").hidden = false;
    byId("all").classList.remove("stale", "loading");
    return;
  }
  if (lost) return;
  lost = true;
  line.className = "link lost";
  line.textContent = "connection lost";
  const seen = latest === null ? null : new Date(latest).toISOString();
  byId("cut").replaceChildren(...nodes([seen
    ? ["The operator does not respond since ", when(seen, "clock"), " (", when(seen, "for"), "). The page shows the data of that time."]
    : "The operator does not respond.", why ? el("span", { class: "muted" }, ` ${why}`) : null]));
  byId("cut").hidden = false;
  byId("spoken").textContent = "The operator does not respond.";
  byId("all").classList.add("stale");
}

onToken(() => new Promise((given) => {
  const door = byId("door");
  byId("refused").textContent = hasToken() ? "That is not the token." : "";
  byId("all").hidden = true;
  byId("cut").hidden = true;
  door.hidden = false;
  document.body.classList.add("locked");
  byId("link").className = "link";
  byId("link").textContent = "locked";
  lost = false;
  byId("token").focus();
  door.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(byId("token").value.trim());
    byId("token").value = "";
    given();
  }, { once: true });
}));

follow(tell, link);
