// Times as "3 min", kept true while the page stands; the exact one is the title.
import { all } from "./dom.js";

/**
 * The words of the server for how long ago something was, or how far ahead it is.
 *
 * @param {number} ms
 */
export function ago(ms) {
  const seconds = Math.floor(ms / 1000);
  const words = (/** @type {number} */ passed) => {
    if (passed < 90) return `${passed} s`;
    if (passed < 5400) return `${Math.floor((passed + 30) / 60)} min`;
    if (passed < 129_600) return `${Math.floor((passed + 1800) / 3600)} h`;
    return `${Math.floor((passed + 43_200) / 86_400)} d`;
  };
  if (seconds < -4) return `in ${words(-seconds)}`;
  return seconds < 5 ? "now" : words(seconds);
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
    if (time.textContent !== words) time.textContent = words;
  }
}

export function start() {
  tick();
  setInterval(() => document.hidden || tick(), 1000);
  document.addEventListener("visibilitychange", () => document.hidden || tick());
  document.addEventListener("ve:updated", tick);
}
