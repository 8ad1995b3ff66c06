// What is said in passing: in a corner, and to a screen reader.
import { el, icon, iconButton, one } from "./dom.js";

const SHOWN_MS = 8000;

/**
 * @param {string} text
 * @param {{ bad?: boolean, body?: Node | null, stays?: boolean }} [options] A refusal stays until it is dismissed.
 */
export function say(text, { bad = false, body = null, stays = bad } = {}) {
  const place = one(bad ? "#alerts" : "#toasts");
  if (place === null) return;
  const close = iconButton("cross", "Dismiss");
  const toast = el(
    "div",
    { class: bad ? "toast toast-bad" : "toast" },
    icon(bad ? "warning" : "check"),
    el("div", { class: "toast-body" }, el("div", {}, text), body),
    close,
  );
  const drop = () => {
    if (toast.contains(document.activeElement)) one("#main")?.focus({ preventScroll: true });
    toast.remove();
  };
  close.addEventListener("click", drop);
  while (place.childElementCount > 3) place.firstElementChild?.remove();
  place.append(toast);
  if (stays) return;
  // It stays while somebody reads it or is about to use it.
  const later = () => setTimeout(() => (toast.matches(":hover, :focus-within") ? later() : drop()), SHOWN_MS);
  later();
}
