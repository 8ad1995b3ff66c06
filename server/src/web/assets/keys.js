// The keyboard. No key is taken from somebody who types.
import { all, el, isShown, isTyping, one } from "./dom.js";
import { dialog } from "./dialogs.js";
import { openPalette } from "./palette.js";

/** How long after `g` the second key may come. */
const SECOND_KEY_MS = 1200;

/** @type {[string, string][]} */
const GENERAL = [
  ["j k", "Next, previous"],
  ["Enter", "Open"],
  ["x", "Select"],
  ["r", "Answer"],
  ["/", "Search"],
  ["Ctrl-K", "Go to, do"],
  ["Ctrl-Enter", "Send what you typed"],
  ["y", "Copy a button's command"],
  ["Esc", "Close, leave a field"],
  ["?", "These keys"],
];

/** @type {[string, string][]} */
const TRANSCRIPT = [
  ["e", "Next error"],
  ["t", "Next tool"],
  ["f", "Next file"],
  ["Shift", "The same, back"],
  ["End", "Newest, and follow"],
  ["Home", "Beginning"],
];

/** Keys that a page adds. @type {Map<string, (event: KeyboardEvent) => boolean | void>} */
const added = new Map();

/**
 * @param {string} key
 * @param {(event: KeyboardEvent) => boolean | void} act
 */
export function onKey(key, act) {
  added.set(key, act);
}

let wentAt = -Infinity;

export function start() {
  document.addEventListener("keydown", press);
  for (const item of all("[data-item]")) item.tabIndex = -1;
  document.addEventListener("ve:updated", () => {
    for (const item of all("[data-item]:not([tabindex])")) item.tabIndex = -1;
  });
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.defaultPrevented || event.isComposing) return;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    return openPalette();
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") return leave(event);
  if (isTyping(event.target) || document.querySelector("dialog[open]") !== null) return;
  if (event.timeStamp - wentAt < SECOND_KEY_MS) {
    wentAt = -Infinity;
    const link = one(`[data-go="${CSS.escape(event.key)}"]`);
    if (link instanceof HTMLAnchorElement) {
      event.preventDefault();
      location.assign(link.href);
      return;
    }
  }
  const act = added.get(event.key) ?? KEYS[event.key];
  if (act === undefined) return;
  if (act(event) !== false) event.preventDefault();
}

/** @type {Record<string, (event: KeyboardEvent) => boolean | void>} */
const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  Enter: (event) => {
    const item = event.target;
    if (!(item instanceof HTMLElement) || !item.matches("[data-item][data-href]")) return false;
    location.assign(new URL(item.dataset["href"] ?? "", location.href));
  },
  x: () => {
    const box = current()?.querySelector("input[type=checkbox]");
    if (!(box instanceof HTMLInputElement)) return false;
    box.click();
  },
  r: () => {
    const field = (current() ?? document).querySelector("textarea:not(:disabled)");
    if (!(field instanceof HTMLElement)) return false;
    const folded = field.closest("details:not([open])");
    if (folded instanceof HTMLDetailsElement) folded.open = true;
    field.focus();
  },
  "/": () => {
    const field = one("#find input");
    if (field instanceof HTMLInputElement) (field.focus(), field.select());
  },
  g: (event) => {
    wentAt = event.timeStamp;
  },
  "?": () => showKeys(),
};

/** The item in which focus is. */
function current() {
  const item = document.activeElement?.closest("[data-item]");
  return item instanceof HTMLElement ? item : null;
}

/** @param {1 | -1} by */
function step(by) {
  const items = all("[data-list] [data-item]").filter(isShown);
  const here = current();
  const at = here === null ? -1 : items.indexOf(here);
  const next = items[at === -1 ? (by === 1 ? firstInView(items) : items.length - 1) : at + by];
  if (next === undefined) return false;
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/**
 * Whoever has scrolled begins with what is to be seen.
 *
 * @param {HTMLElement[]} items
 */
function firstInView(items) {
  const top = one("#top")?.getBoundingClientRect().bottom ?? 0;
  return Math.max(0, items.findIndex((item) => item.getBoundingClientRect().bottom > top + 8));
}

/** @param {KeyboardEvent} event */
function leave(event) {
  const menu = document.querySelector("details.menu[open]");
  if (menu instanceof HTMLDetailsElement) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
    return;
  }
  if (!isTyping(event.target) || !(event.target instanceof HTMLElement)) return;
  // What is written stays in the field.
  const item = event.target.closest("[data-item]");
  event.target.blur();
  if (item instanceof HTMLElement) item.focus({ preventScroll: true });
}

export function showKeys() {
  const rows = (/** @type {[string, string][]} */ keys) =>
    el("dl", { class: "keys" }, ...keys.map(([key, words]) => el("div", {}, el("dt", {}, words), el("dd", {}, ...key.split(" ").flatMap((part, at) => [at > 0 ? " " : "", el("kbd", {}, part)])))));
  const pages = /** @type {[string, string][]} */ (
    all("#nav [data-go]").map((link) => [`g ${link.dataset["go"]}`, link.querySelector("span")?.textContent ?? ""])
  );
  const body = [rows(GENERAL), el("h3", {}, "Pages"), rows(pages)];
  if (one("#transcript") !== null) body.push(el("h3", {}, "In a transcript"), rows(TRANSCRIPT));
  const close = el("button", { type: "button", class: "btn", autofocus: true }, "Close");
  const made = dialog({ id: "keys", title: "Keys", body, foot: [close] });
  close.addEventListener("click", () => made.close());
}
