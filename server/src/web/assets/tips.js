// What a shell would run instead of a button: shown beside the button that is pointed at or in focus, copied on request.
import { commandOf } from "./actions.js";
import { copy, el } from "./dom.js";
import { onKey } from "./keys.js";
import { say } from "./toasts.js";

/** Who passes by is not told. */
const REST_MS = 450;
/** Time to get from the button to what is said about it. */
const LEAVE_MS = 250;

const tip = el("div", { id: "tip", role: "tooltip", popover: "manual", "data-js-own": true });
/** @type {HTMLElement | null} */
let told = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

export function start() {
  document.body.append(tip);
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const target = event.target instanceof Element ? event.target : null;
    if (target !== null && tip.contains(target)) return clearTimeout(timer);
    const button = buttonOf(target);
    clearTimeout(timer);
    timer = setTimeout(() => (button === null ? hide() : show(button)), button === null ? LEAVE_MS : REST_MS);
  });
  document.addEventListener("focusin", (event) => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    const button = target?.matches(":focus-visible") ? buttonOf(target) : null;
    button === null ? hide() : show(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && told !== null) hide();
  });
  for (const gone of ["pointerdown", "scroll", "ve:updated"]) {
    document.addEventListener(gone, (event) => event.target instanceof Node && tip.contains(event.target) || hide(), { capture: true, passive: true });
  }
  tip.addEventListener("click", () => told !== null && void copyOf(told));
  onKey("y", () => {
    const button = buttonOf(document.activeElement);
    if (button === null) return false;
    void copyOf(button);
  });
}

/**
 * A button that a shell could replace.
 *
 * @param {Element | null} target
 */
function buttonOf(target) {
  const button = target?.closest("form[data-command] button:not([type=button])");
  return button instanceof HTMLElement ? button : null;
}

/** @param {HTMLElement} button */
function words(button) {
  const form = button.closest("form");
  return form === null ? "" : (commandOf(form) ?? "");
}

/** @param {HTMLElement} button */
async function copyOf(button) {
  const command = words(button);
  hide();
  if (await copy(command)) say("The command is copied.", { body: el("code", { class: "command" }, command) });
}

/** @param {HTMLElement} button */
function show(button) {
  if (!button.isConnected) return hide();
  hide();
  told = button;
  const key = button.matches(":focus-visible") ? "y copies it" : "Click here to copy it";
  tip.replaceChildren(el("span", {}, `The same in a shell. ${key}.`), el("code", {}, words(button)));
  button.setAttribute("aria-describedby", "tip");
  tip.showPopover();
  const [place, size] = [button.getBoundingClientRect(), tip.getBoundingClientRect()];
  const below = place.bottom + 6 + size.height < innerHeight;
  tip.style.left = `${Math.max(12, Math.min(place.left, innerWidth - size.width - 12))}px`;
  tip.style.top = `${below ? place.bottom + 6 : place.top - size.height - 6}px`;
}

function hide() {
  clearTimeout(timer);
  told?.removeAttribute("aria-describedby");
  told = null;
  if (tip.matches(":popover-open")) tip.hidePopover();
}
