// What is around every page: the switch for the colours, the list of keys, and the rest of the pages on a phone.
import { all, el, icon, iconButton, one } from "./dom.js";
import { showKeys } from "./keys.js";
import { openPalette } from "./palette.js";

const THEMES = /** @type {const} */ (["auto", "light", "dark"]);
const PICTURES = { auto: "auto", light: "sun", dark: "moon" };

/** @typedef {typeof THEMES[number]} Theme */

export function start() {
  const top = one("#top");
  if (top === null) return;
  const theme = iconButton("auto", "Colours");
  const keys = iconButton("keyboard", "Keys (?)");
  keys.setAttribute("data-js-wide", "");
  const palette = iconButton("search", "Go to… (Ctrl-K)");
  keys.addEventListener("click", showKeys);
  palette.addEventListener("click", openPalette);
  theme.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length] ?? "auto";
    wear(next, theme);
    keep(next);
  });
  wear(chosen(), theme);
  top.append(el("div", { class: "tools", "data-js-own": true }, theme, keys));
  foldNav();
}

/** @returns {Theme} */
function chosen() {
  const kept = localStorage.getItem("theme");
  return THEMES.find((theme) => theme === kept) ?? "auto";
}

/** @param {Theme} theme */
function keep(theme) {
  localStorage.setItem("theme", theme);
  // The server reads it, so that the next page comes in the right colours at once.
  document.cookie = `ve-theme=${theme}; path=/; max-age=31536000; samesite=strict`;
}

/**
 * @param {Theme} theme
 * @param {HTMLElement} button
 */
function wear(theme, button) {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  const words = { auto: "as the system", light: "light", dark: "dark" }[theme];
  button.replaceChildren(icon(PICTURES[theme]));
  button.setAttribute("aria-label", `Colours: ${words}`);
  button.title = `Colours: ${words}`;
}

/** On a phone there is room for four pages; a fifth place shows the rest. */
function foldNav() {
  const nav = one("#nav");
  const list = nav?.querySelector("ul");
  if (!nav || !list || list.childElementCount < 6) return;
  const button = el("button", { type: "button", "aria-expanded": "false" }, icon("menu"), el("span", {}, "More"));
  const fold = (/** @type {boolean} */ open) => {
    nav.setAttribute("data-js-more", open ? "open" : "");
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => fold(button.getAttribute("aria-expanded") === "false"));
  document.addEventListener("click", (event) => event.target instanceof Node && nav.contains(event.target) || fold(false));
  nav.addEventListener("keydown", (event) => event.key === "Escape" && fold(false));
  const item = el("li", { class: "nav-more", "data-js-own": true }, button);
  list.append(item);
  fold(false);
  // Where the page itself is among the folded ones, the place for the rest says so.
  const current = all("li", list).findIndex((found) => found.querySelector("[aria-current]") !== null);
  if (current > 3) button.setAttribute("data-js-current", "");
}
