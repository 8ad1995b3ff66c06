// One field from which everything can be reached: pages, tickets, texts, and what can be done on this page.
import { all, el, icon, isShown } from "./dom.js";
import { isAction } from "./actions.js";
import { open } from "./dialogs.js";

/**
 * @typedef {{ picture: string, what: string, where: string, act: () => void }} Option
 * @typedef {{ href: string, id?: string, title: string, where?: string }} Hit
 */

/** Typing is over when nothing came for so long. */
const PAUSE_MS = 120;

export function openPalette() {
  if (document.getElementById("palette") !== null) return;
  const input = el("input", {
    type: "text", class: "palette-input", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list",
    "aria-label": "Go to a page or a ticket, or do something", placeholder: "Go to a page or a ticket, or do something", autocomplete: "off", spellcheck: "false",
  });
  const list = el("div", { class: "palette-list", id: "palette-list", role: "listbox", "aria-label": "What was found" });
  const here = [...actions(), ...pages()];
  const made = el("dialog", { id: "palette", "aria-label": "Go to", "data-js-own": true }, input, list);
  open(made);
  input.focus();

  /** @type {Option[]} */
  let options = [];
  let at = 0;
  const choose = (/** @type {number} */ index) => {
    at = Math.max(0, Math.min(options.length - 1, index));
    [...list.children].forEach((child, number) => child.setAttribute("aria-selected", String(number === at)));
    list.children[at]?.scrollIntoView({ block: "nearest" });
    if (options.length === 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `palette-${at}`);
  };
  const run = (/** @type {Option | undefined} */ option) => {
    if (option === undefined) return;
    made.close();
    option.act();
  };
  const fill = (/** @type {Option[]} */ found) => {
    options = found.slice(0, 40);
    list.replaceChildren(
      ...options.map((option, index) => {
        const line = el(
          "div",
          { class: "palette-option", role: "option", id: `palette-${index}`, "aria-selected": "false" },
          icon(option.picture), el("span", { class: "what" }, option.what), el("span", { class: "where" }, option.where),
        );
        line.addEventListener("click", () => run(option));
        return line;
      }),
    );
    if (options.length === 0) list.append(el("p", { class: "palette-none", role: "presentation" }, "Nothing is called that. Enter searches all texts."));
    choose(0);
  };
  const search = finder((hits) => fill([...matching(here, input.value), ...hits]));
  fill(here);
  input.addEventListener("input", () => {
    fill(matching(here, input.value));
    search(input.value.trim());
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (by !== undefined) (event.preventDefault(), choose(at + by));
    else if (event.key === "Enter") {
      event.preventDefault();
      const words = input.value.trim();
      if (options.length > 0) run(options[at]);
      else if (words !== "") location.assign(`/search?q=${encodeURIComponent(words)}`);
    }
  });
  made.addEventListener("close", () => search(""));
}

/** @returns {Option[]} */
function pages() {
  return all("#nav a").map((link) => ({
    picture: "chevron",
    what: link.querySelector("span")?.textContent ?? "",
    where: link.dataset["go"] === undefined ? "" : `g ${link.dataset["go"]}`,
    act: () => location.assign(/** @type {HTMLAnchorElement} */ (link).href),
  }));
}

/** What the buttons of this page do, as far as they need nothing to be typed. @returns {Option[]} */
function actions() {
  /** @type {Option[]} */
  const found = [];
  for (const form of all("#top form, .page-actions form, #actions form")) {
    if (!(form instanceof HTMLFormElement) || !isAction(form) || form.querySelector("textarea, select, input:not([type=hidden])") !== null) continue;
    const button = form.querySelector("button:not([type=button])");
    if (!(button instanceof HTMLButtonElement) || button.disabled || !(isShown(button) || form.closest("details") !== null)) continue;
    const what = button.textContent?.trim() || button.title || button.getAttribute("aria-label") || "";
    if (what !== "") found.push({ picture: "play", what, where: "do", act: () => form.requestSubmit(button) });
  }
  for (const link of all(".page-actions a.btn")) {
    found.push({ picture: "plus", what: link.textContent?.trim() ?? "", where: "", act: () => location.assign(/** @type {HTMLAnchorElement} */ (link).href) });
  }
  return found;
}

/**
 * @param {Option[]} options
 * @param {string} typed
 */
function matching(options, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const found = options.filter(({ what }) => words.every((word) => what.toLowerCase().includes(word)));
  // What begins so was meant more likely than what only has it somewhere.
  const rank = (/** @type {Option} */ { what }) => (what.toLowerCase().startsWith(words[0] ?? "") ? 0 : 1);
  return found.sort((one, other) => rank(one) - rank(other));
}

/**
 * Asks the server, never two at a time, and forgets what has become old.
 *
 * @param {(hits: Option[]) => void} found
 */
function finder(found) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let asked = new AbortController();
  return (/** @type {string} */ words) => {
    clearTimeout(timer);
    asked.abort();
    if (words === "") return;
    asked = new AbortController();
    const { signal } = asked;
    timer = setTimeout(() => {
      fetch(`/api/find?q=${encodeURIComponent(words)}`, { signal })
        .then((answer) => (answer.ok ? answer.json() : { hits: [] }))
        .then((/** @type {{ hits: Hit[] }} */ { hits }) => found(hits.map(option)))
        .catch(() => {});
    }, PAUSE_MS);
  };
}

/**
 * @param {Hit} hit
 * @returns {Option}
 */
function option({ href, id, title, where }) {
  const what = id === undefined || id === "" || title.startsWith(id) ? title : `${id} ${title}`;
  // Only our own pages; an address is the server's, but costs nothing to check.
  const to = new URL(href, location.origin);
  return { picture: "ticket", what, where: where ?? "", act: () => location.assign(to.origin === location.origin ? to : "/") };
}
