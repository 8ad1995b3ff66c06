// The difference of a file is fetched when somebody opens it: a ticket may change thousands.
import { all, el } from "./dom.js";

export function start() {
  document.addEventListener("toggle", (event) => event.target instanceof HTMLDetailsElement && void load(event.target), true);
  const open = () => all("details.diff-file[open]").forEach((file) => void load(/** @type {HTMLDetailsElement} */ (file)));
  document.addEventListener("ve:updated", open);
  open();
}

/** @param {HTMLDetailsElement} file */
async function load(file) {
  const source = file.dataset["src"];
  if (!file.open || source === undefined || file.hasAttribute("data-js-loaded")) return;
  file.setAttribute("data-js-loaded", "");
  const body = el("div", { class: "diff-body", "data-js-own": true, tabindex: 0, role: "region", "aria-label": file.dataset["path"] ?? "Difference" }, el("p", { class: "panel-body muted" }, "Loading"));
  file.append(body);
  try {
    const answer = await fetch(source);
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    body.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
  } catch {
    const again = el("button", { type: "button", class: "btn" }, "Try again");
    again.addEventListener("click", () => {
      body.remove();
      file.removeAttribute("data-js-loaded");
      void load(file);
    });
    body.replaceChildren(el("p", { class: "panel-body" }, "The difference could not be fetched. ", again));
  }
}
