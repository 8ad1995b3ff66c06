// Forms that do something: sent without leaving the page, with the answer in a corner or beside the field.
import { all, copy, el, icon, isTyping, meta, one } from "./dom.js";
import { ask } from "./dialogs.js";
import { refresh } from "./live.js";
import { say } from "./toasts.js";

/**
 * @typedef {{ ok: boolean, said?: string, command?: string, location?: string, job?: string, count?: number, dry?: boolean,
 *   examples?: string[], fields?: { field: string, message: string }[] }} Answer
 */

export function start() {
  document.addEventListener("submit", (event) => void submit(event));
  document.addEventListener("keydown", (event) => {
    // The habit of everywhere: an answer is sent by Ctrl-Enter.
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !isTyping(event.target)) return;
    const form = /** @type {HTMLElement} */ (event.target).closest("form");
    if (form === null || !isAction(form)) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector("button:not([type=button]):not(:disabled)"));
  });
  menus();
}

/** Menus open beside their button, also where what is around them scrolls, and close when somebody does something else. */
function menus() {
  document.addEventListener(
    "toggle",
    (event) => {
      const menu = event.target;
      if (!(menu instanceof HTMLDetailsElement) || !menu.matches(".menu") || !menu.open) return;
      for (const other of all("details.menu[open]")) if (other !== menu) other.removeAttribute("open");
      const items = menu.lastElementChild;
      const place = menu.getBoundingClientRect();
      if (!(items instanceof HTMLElement)) return;
      items.style.position = "fixed";
      items.style.right = `${Math.max(8, document.documentElement.clientWidth - place.right)}px`;
      const below = place.bottom + 4 + items.offsetHeight <= innerHeight;
      items.style.top = below ? `${place.bottom + 4}px` : "auto";
      items.style.bottom = below ? "auto" : `${Math.max(8, innerHeight - place.top + 4)}px`;
    },
    true,
  );
  const close = (/** @type {Event} */ event) => {
    const target = event.target instanceof Node ? event.target : null;
    for (const menu of all("details.menu[open]")) if (target === null || !menu.contains(target)) menu.removeAttribute("open");
  };
  document.addEventListener("click", close);
  document.addEventListener("scroll", close, { capture: true, passive: true });
}

/** @param {HTMLFormElement} form */
export function isAction(form) {
  const { origin, pathname } = new URL(form.action);
  return form.method === "post" && origin === location.origin && (pathname.startsWith("/do/") || pathname === "/settings/revoke");
}

/**
 * What a shell would run, with what has been typed where the server left room for it.
 *
 * @param {HTMLFormElement} form
 */
export function commandOf(form) {
  const command = form.dataset["command"];
  const typed = form.querySelector("textarea, input[type=text], input:not([type])");
  if (command === undefined || !(typed instanceof HTMLTextAreaElement || typed instanceof HTMLInputElement) || typed.value.trim() === "") return command;
  return command.replace(/"…"|…/, () => `'${typed.value.trim().replaceAll("'", `'\\''`)}'`);
}

/** @param {SubmitEvent} event */
async function submit(event) {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !isAction(form) || event.defaultPrevented) return;
  event.preventDefault();
  if (form.hasAttribute("data-js-busy")) return;
  const button = event.submitter instanceof HTMLElement ? event.submitter : null;
  const question = button?.dataset["confirm"] ?? form.dataset["confirm"];
  const verb = button?.textContent?.trim() || "Go on";
  if (question !== undefined && !(await ask(question, { command: commandOf(form), verb }))) return;
  const answer = await send(form, button);
  if (answer !== null) form.dispatchEvent(new CustomEvent("ve:answered", { detail: answer, bubbles: true }));
}

/**
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} button The one that was pressed; its name and value go along.
 * @returns {Promise<Answer | null>}
 */
export async function send(form, button) {
  const pressed = button instanceof HTMLButtonElement || button instanceof HTMLInputElement ? button : null;
  const data = new URLSearchParams();
  for (const [name, value] of new FormData(form, pressed)) if (typeof value === "string") data.append(name, value);
  form.setAttribute("data-js-busy", "");
  pressed?.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: data,
      headers: { Accept: "application/json", "X-CSRF": meta("csrf") },
    });
    if (answer.status === 401) {
      location.reload();
      return null;
    }
    const said = /** @type {Answer} */ (await answer.json().catch(() => ({ ok: false })));
    said.ok ? agreed(form, said) : refused(form, said, answer.status);
    return said;
  } catch {
    say("The server did not answer. Nothing may have happened; look before you try again.", { bad: true });
    return null;
  } finally {
    form.removeAttribute("data-js-busy");
    pressed?.removeAttribute("aria-busy");
  }
}

/**
 * @param {HTMLFormElement} form
 * @param {Answer} answer
 */
function agreed(form, answer) {
  for (const place of all(".error", form)) place.textContent = "";
  // Where nothing is live, only a new page shows what has changed.
  const leaves = answer.location !== undefined && (form.classList.contains("fields") || form.action.endsWith("/settings/revoke"));
  if (leaves) {
    form.reset();
    location.assign(new URL(/** @type {string} */ (answer.location), location.origin).pathname);
    return;
  }
  form.closest("details.menu")?.removeAttribute("open");
  if (answer.job === undefined && !answer.dry && answer.said) {
    say(answer.said, { body: answer.command === undefined ? null : commandLine(answer.command) });
  }
  // What was typed is said now; it is nobody's half-written text any more.
  if (form.querySelector("textarea, input[type=text]") !== null) form.reset();
  refresh("*");
}

/** @param {string} command */
function commandLine(command) {
  const button = el("button", { type: "button", class: "btn btn-quiet", title: command }, icon("copy"), "Copy the command");
  button.addEventListener("click", () => void copy(command).then((done) => done && (button.textContent = "Copied")));
  return el("div", {}, button);
}

/**
 * @param {HTMLFormElement} form
 * @param {Answer} answer
 * @param {number} status
 */
function refused(form, answer, status) {
  const spare = status === 403 ? "This session may not do that. Reload the page, or open a new link." : `The server refused (${status}).`;
  for (const place of all(".error", form)) place.textContent = "";
  let first = null;
  for (const { field, message } of answer.fields ?? []) {
    const input = form.querySelector(`[name="${CSS.escape(field)}"]`);
    let place = one(`.error[data-for="${CSS.escape(field)}"]`, form);
    if (place === null || !(input instanceof HTMLElement)) continue;
    place.textContent = message;
    place.id ||= `error-${field}`;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", place.id);
    first ??= input;
  }
  if (first !== null) first.focus();
  if (first === null || answer.said) say(answer.said ?? spare, { bad: true });
}
