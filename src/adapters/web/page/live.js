// The connection to the operator: requests, and the stream of events.

const SILENT = 35_000; // The operator sends a message at least every 15 s.
const SLOWEST = 15_000;
const KEY = "ejabberd-operator-token";

let askForToken = async () => {};
export function onToken(ask) { askForToken = ask; }
export function hasToken() { return sessionStorage.getItem(KEY) !== null; }
export function keepToken(token) { sessionStorage.setItem(KEY, token); }

function headers() {
  const token = sessionStorage.getItem(KEY);
  return token === null ? {} : { authorization: `Bearer ${token}` };
}

// Sends a request. Returns the JSON, or throws an error with a message for people.
export async function ask(path, signal) {
  const answer = await fetch(path, { headers: headers(), cache: "no-store", signal });
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the operator answers ${answer.status}`);
  return answer.json();
}

let wake = () => {};
function pause(milliseconds) {
  return new Promise((done) => { wake = done; setTimeout(done, milliseconds); });
}
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });

// Receives events and never returns. Calls `tell(name, what)` for each event. Calls
// `link(state, words)` with the state of the connection: live, lost, or door (the operator requires
// a token).
export async function follow(tell, link) {
  let wait = 0;
  for (;;) {
    const began = Date.now();
    try {
      const told = await once(tell, link);
      if (told === "door") { await askForToken(); wait = 0; continue; }
      wait = Date.now() - began > 5000 ? 0 : 1000;
    } catch (error) {
      // Omit the browser's message about a lost connection, because the message does not help the
      // user.
      link("lost", error instanceof TypeError || error.name === "AbortError" ? "" : error.message);
      wait = Math.min(SLOWEST, Math.max(500, wait * 2));
    }
    if (wait > 0) await pause(wait * (0.75 + Math.random() / 2));
  }
}

async function once(tell, link) {
  const abort = new AbortController();
  let timer = 0;
  const heard = () => { clearTimeout(timer); timer = setTimeout(() => abort.abort(), SILENT); };
  heard();
  try {
    const answer = await fetch("/api/live", { headers: headers(), cache: "no-store", signal: abort.signal });
    if (answer.status === 401) return "door";
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    let events = 0;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      heard();
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      for (const part of parts) events += event(part, tell);
      link("live");
    }
    // A stream without events is an error, so that `follow` waits longer before the next attempt.
    if (events === 0) throw new Error("the operator closed the connection");
    return "ended";
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

function event(text, tell) {
  let name = "";
  let data = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    if (line.startsWith("data: ")) data = line.slice(6);
  }
  if (name === "") return 0;
  tell(name, JSON.parse(data));
  return 1;
}
