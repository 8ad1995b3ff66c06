// Times as "3 min", kept true while the page stands; the exact one is the title.
import { all } from "./dom.js";

/**
 * The words of the server for the time that has passed.
 *
 * @param {number} ms
 */
export function ago(ms) {
  const seconds = Math.floor(Math.abs(ms) / 1000);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** How far this clock is from the server's, which may be another machine; 0 until it is known. */
let skew = 0;

/** @param {string | null} date The `Date` of an answer that was just made. */
export function setClock(date) {
  const said = date === null ? NaN : Date.parse(date);
  // It says whole seconds.
  if (!Number.isNaN(said)) skew = Math.abs(said - Date.now()) < 3000 ? 0 : said - Date.now();
}

export function tick() {
  const now = Date.now() + skew;
  for (const time of all("time.ago")) {
    const at = Date.parse(time.getAttribute("datetime") ?? "");
    if (Number.isNaN(at)) continue;
    const words = ago(now - at);
    // What lies ahead keeps the preposition that the server gave it.
    const text = time.textContent ?? "";
    const next = /^in /.test(text) ? (at > now ? `in ${words}` : "now") : words;
    if (text !== next) time.textContent = next;
  }
}

export function start() {
  tick();
  setInterval(() => document.hidden || tick(), 1000);
  document.addEventListener("visibilitychange", () => document.hidden || tick());
  document.addEventListener("ve:updated", tick);
}
