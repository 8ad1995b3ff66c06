// A long text shows its beginning, and all of it on request; a wide table can be scrolled with the keyboard.
import { all, el } from "./dom.js";

/** Texts that are a little longer than this are shown whole: a button for two lines helps nobody. */
const [HIGH, SHOWN] = [640, 480];

let number = 0;

export function start() {
  const look = () => (clamp(), reach());
  look();
  document.addEventListener("ve:updated", look);
  addEventListener("resize", reach);
}

/** What scrolls to the side is a stop of the keyboard, as long as it does. */
function reach() {
  for (const place of all(".table-wrap, .panel:has(> .grid), .md pre")) {
    if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
    else place.removeAttribute("tabindex");
  }
}

function clamp() {
  for (const text of all("#overview > .md:not([data-js-seen]), .comment > .md:not([data-js-seen])")) {
    if (text.scrollHeight === 0) continue;
    text.setAttribute("data-js-seen", "");
    if (text.scrollHeight <= HIGH) continue;
    text.setAttribute("data-js-clamped", "");
    text.style.maxHeight = `${SHOWN}px`;
    text.id ||= `long-${(number += 1)}`;
    const button = el("button", { type: "button", class: "btn btn-quiet", "data-js-own": true, "aria-expanded": "false", "aria-controls": text.id }, "Show all of it");
    button.addEventListener("click", () => {
      const open = text.toggleAttribute("data-js-clamped");
      text.style.maxHeight = open ? `${SHOWN}px` : "none";
      button.textContent = open ? "Show all of it" : "Show less";
      button.setAttribute("aria-expanded", String(!open));
    });
    text.after(button);
  }
}
