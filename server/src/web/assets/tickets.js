// The table of tickets: filters that act at once, selection, and what is done to many.
import { all, el, one } from "./dom.js";
import { dialog } from "./dialogs.js";
import { refresh } from "./live.js";
import { say } from "./toasts.js";

/** @typedef {{ done: number, of: number, refused: number, refusals: { ticket_id: string, said: string }[], finished: boolean }} Progress */

export function start() {
  filters();
  const bar = one("#bulk");
  if (!(bar instanceof HTMLFormElement)) return;
  const count = one("#chosen", bar) ?? bar.appendChild(el("span", { id: "chosen", "data-js-own": true }));
  count.setAttribute("role", "status");
  const update = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    const every = bar.querySelector("input[name=all]");
    const whole = every instanceof HTMLInputElement && every.checked;
    count.textContent = whole ? "" : chosen === 0 ? "Nothing selected" : `${chosen} selected`;
    bar.toggleAttribute("data-js-some", chosen > 0 || whole);
    for (const button of all("button:not([type=button])", bar)) {
      if (!button.hasAttribute("title")) button.toggleAttribute("disabled", chosen === 0 && !whole);
    }
    header(chosen);
    // Only what belongs to the chosen action is asked for.
    const act = bar.querySelector("select[name=act]");
    for (const field of all("[data-for]", bar)) {
      field.hidden = act instanceof HTMLSelectElement && !(field.dataset["for"] ?? "").split(" ").includes(act.value);
    }
  };
  let last = -1;
  document.addEventListener("click", (event) => {
    const list = boxes();
    const at = list.findIndex((box) => box === event.target);
    if (at === -1) return;
    // From the last one to this one, as everywhere.
    if (event.shiftKey && last !== -1) {
      for (const box of list.slice(Math.min(at, last), Math.max(at, last) + 1)) box.checked = list[at]?.checked ?? false;
    }
    last = at;
    update();
  });
  document.addEventListener("change", update);
  document.addEventListener("ve:updated", update);
  bar.addEventListener("ve:answered", (event) => {
    const answer = /** @type {CustomEvent<import("./actions.js").Answer>} */ (event).detail;
    if (!answer.ok) return;
    if (answer.dry) rehearse(answer);
    else if (answer.job !== undefined) void follow(answer);
  });
  update();
}

/** @returns {HTMLInputElement[]} */
function boxes() {
  return /** @type {HTMLInputElement[]} */ (all("input[type=checkbox][name=ticket]"));
}

/**
 * The box above the others.
 *
 * @param {number} chosen
 */
function header(chosen) {
  const box = document.getElementById("select-all");
  if (!(box instanceof HTMLInputElement)) return;
  box.checked = chosen > 0 && chosen === boxes().length;
  box.indeterminate = chosen > 0 && chosen < boxes().length;
  if (box.hasAttribute("data-js-heard")) return;
  box.setAttribute("data-js-heard", "");
  box.addEventListener("click", () => {
    for (const other of boxes()) other.checked = box.checked;
    document.dispatchEvent(new Event("change"));
  });
}

/** @param {import("./actions.js").Answer} answer */
function rehearse(answer) {
  const close = el("button", { type: "button", class: "btn", autofocus: true }, "Close");
  const examples = el("ul", {}, ...(answer.examples ?? []).map((line) => el("li", {}, line)));
  const made = dialog({ title: `A dry run over ${answer.count ?? 0} tickets. Nothing was changed.`, body: [examples], foot: [close] });
  close.addEventListener("click", () => made.close());
}

/** @param {import("./actions.js").Answer} answer */
async function follow({ job, count = 0 }) {
  const bar = el("progress", { class: "bar", max: count || 1, value: 0, "aria-label": "How many are done" });
  const words = el("span", {}, `0 of ${count}`);
  say("Carrying it out on the server", { body: el("div", {}, bar, words), stays: true });
  for (;;) {
    const answer = await fetch(`/api/bulk/${encodeURIComponent(job ?? "")}`, { cache: "no-store" }).catch(() => null);
    if (answer?.status === 404) return;
    if (answer?.ok) {
      const progress = /** @type {Progress} */ (await answer.json());
      bar.max = progress.of || 1;
      bar.value = progress.done;
      words.textContent = `${progress.done} of ${progress.of}${progress.refused > 0 ? `, ${progress.refused} refused` : ""}`;
      if (progress.finished) {
        bar.closest(".toast")?.remove();
        const lines = progress.refusals.slice(0, 10).map(({ ticket_id, said }) => el("li", {}, `${ticket_id}: ${said}`));
        const done = progress.done - progress.refused;
        say(`${done} of ${progress.of} done${progress.refused > 0 ? `, ${progress.refused} refused` : ""}.`, {
          bad: progress.refused > 0,
          body: lines.length > 0 ? el("ul", {}, ...lines) : null,
        });
        refresh("*");
        return;
      }
    }
    await new Promise((done) => setTimeout(done, 400));
  }
}

/** A filter acts when it is chosen, and the address has only what was chosen. */
function filters() {
  const form = one("#filters");
  if (!(form instanceof HTMLFormElement)) return;
  // Where nothing is typed there is nothing to send off.
  if (form.querySelector("input:not([type=hidden], [type=checkbox])") === null) for (const button of all("button", form)) button.hidden = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (typeof value === "string" && value !== "") words.append(name, value);
    location.assign(`${new URL(form.action).pathname}${words.size > 0 ? `?${words}` : ""}`);
  });
  form.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement || (event.target instanceof HTMLInputElement && event.target.type === "checkbox")) form.requestSubmit();
  });
}
