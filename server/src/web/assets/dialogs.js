// Dialogs, one at a time.
import { el } from "./dom.js";

/**
 * @param {{ id?: string, title: string, body?: (Node | string)[], foot?: HTMLElement[] }} parts
 */
export function dialog({ id, title, body = [], foot = [] }) {
  const heading = el("h2", { class: "dialog-head", id: "dialog-title" }, title);
  const made = el(
    "dialog",
    { id, "aria-labelledby": "dialog-title", "data-js-own": true },
    heading,
    body.length > 0 ? el("div", { class: "dialog-body" }, ...body) : null,
    foot.length > 0 ? el("div", { class: "dialog-foot" }, ...foot) : null,
  );
  return open(made);
}

/**
 * Shows a dialog, which goes with Escape and with a press beside it, and leaves focus where it was.
 *
 * @param {HTMLDialogElement} made
 */
export function open(made) {
  for (const other of document.querySelectorAll("dialog[open]")) if (other instanceof HTMLDialogElement) other.close();
  const before = document.activeElement;
  made.addEventListener("close", () => {
    made.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
  });
  made.addEventListener("click", (event) => {
    if (event.target === made) made.close();
  });
  document.body.append(made);
  made.showModal();
  return made;
}

/**
 * Asks before what cannot be undone.
 *
 * @param {string} question
 * @param {{ command?: string | undefined, verb: string }} options `verb` is what the button says that was pressed.
 * @returns {Promise<boolean>}
 */
export function ask(question, { command, verb }) {
  return new Promise((answer) => {
    const yes = el("button", { type: "button", class: "btn btn-danger" }, verb);
    const no = el("button", { type: "button", class: "btn", autofocus: true }, "Go back");
    const body = command === undefined ? [] : [el("div", {}, "The same in a shell: ", el("code", { class: "command" }, command))];
    const made = dialog({ title: question, body, foot: [no, yes] });
    let agreed = false;
    yes.addEventListener("click", () => ((agreed = true), made.close()));
    no.addEventListener("click", () => made.close());
    made.addEventListener("close", () => answer(agreed));
  });
}
