// Relative times, which are updated every second. The title shows the absolute time.

import { el } from "./dom.js";

// The difference between the operator's clock and the clock of the browser, in milliseconds.
let ahead = 0;
export function setClock(now) { ahead = Date.parse(now) - Date.now(); }
export function now() { return Date.now() + ahead; }

// Returns a duration as 45 s, 3 min, 2 h 5 min or 3 d 4 h.
export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 10 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const two = (number) => String(number).padStart(2, "0");

export function day(moment) {
  const date = new Date(moment);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Returns the local time as 02:13, or with the date if the time is not today: Nov 20 02:13.
export function clock(moment) {
  const date = new Date(moment);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (day(moment) === day(now())) return time;
  const year = date.getFullYear() === new Date(now()).getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${MONTHS[date.getMonth()]} ${date.getDate()}${year} ${time}`;
}

function absolute(moment) {
  const date = new Date(moment);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${day(moment)} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

const FORMS = {
  ago: (at) => (now() - at < 1500 ? "now" : `${span(now() - at)} ago`),
  for: (at) => span(now() - at),
  in: (at) => (at - now() < 500 ? "now" : `in ${span(at - now())}`),
  clock,
  time: (at) => { const d = new Date(at); return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`; },
};

export function when(moment, form = "ago") {
  const at = Date.parse(moment);
  const time = el("time", { datetime: moment, title: absolute(at), "data-form": form });
  time.textContent = FORMS[form](at);
  return time;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-form]")) {
    const text = FORMS[time.dataset.form](Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
