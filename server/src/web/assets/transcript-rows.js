// One row of a transcript as elements: what was said, and a call with its result as one thing.
import { plain, terminal } from "./ansi.js";
import { el, icon, size } from "./dom.js";

/**
 * @typedef {{ text: string, error?: boolean, cut?: boolean, size?: number, at?: number, n?: number, line?: number }} Result
 * @typedef {{ old: number, new: number, lines: [string, string][], hidden?: number }} Hunk
 * @typedef {{ as: "terminal", command: string } | { as: "diff", file: string, hunks: Hunk[] } | { as: "tree" }} Show
 * @typedef {{ at: number, n?: number, line: number, type: string, id?: string | null, parent?: string | null, error?: boolean, text?: string, md?: string,
 *   tool?: string, title?: string, input?: unknown, show?: Show | null, result?: Result | null, for?: string, cut?: boolean, size?: number,
 *   subtype?: string, outcome?: string, cost_usd?: number | null, turns?: number | null, time?: unknown }} Row
 * @typedef {(place: { at?: number, n?: number }, part: "text" | "input") => Promise<string>} Whole Fetches all of what was cut.
 */

/** Of longer output the first and last lines are shown. */
const LINES = 16;
const [HEAD, TAIL] = [9, 5];
/** A line of a megabyte is no line that anybody reads. */
const WIDE = 2000;

const PICTURES = /** @type {Record<string, string>} */ ({
  text: "text", thinking: "thinking", user: "user", call: "tool", result: "chevron", system: "settings", end: "check", raw: "file",
});
const TOOLS = /** @type {Record<string, string>} */ ({
  Bash: "terminal", Edit: "edit", MultiEdit: "edit", Write: "edit", NotebookEdit: "edit", Read: "file", Glob: "search", Grep: "search",
  Task: "agent", Agent: "agent", WebFetch: "external", WebSearch: "search", TodoWrite: "check", StructuredOutput: "check",
});

/**
 * @param {Row} row
 * @param {number} depth How many subagents it lies within.
 * @param {Whole} whole
 */
export function draw(row, depth, whole) {
  const failed = row.error === true || row.result?.error === true;
  const made = el("article", {
    class: `row row-${row.type}${failed ? " row-error" : ""}`,
    id: row.n ? `tr-${row.at}-${row.n}` : `tr-${row.at}`, "data-item": true, "data-depth": Math.min(depth, 3), tabindex: -1,
  });
  const time = typeof row.time === "string" ? Date.parse(row.time) : Number.NaN;
  if (!Number.isNaN(time)) made.title = new Date(time).toLocaleString();
  made.append(icon(TOOLS[row.tool ?? ""] ?? PICTURES[row.type] ?? "file"), body(row, failed, whole));
  return made;
}

/**
 * @param {Row} row
 * @param {boolean} failed
 * @param {Whole} whole
 */
function body(row, failed, whole) {
  const text = row.text ?? "";
  switch (row.type) {
    case "text":
      return el("div", { class: "row-body" }, row.md ? markdown(row.md) : el("p", { class: "hostile" }, plain(text)), rest(row, whole));
    case "thinking":
      return folded(`Thinking: ${firstLine(text)}`, () => el("p", { class: "hostile" }, plain(text)), row, whole);
    case "user":
      return text.length > 400 || text.split("\n").length > 6
        ? folded(`Told: ${firstLine(text)}`, () => el("p", { class: "hostile" }, plain(text)), row, whole)
        : el("div", { class: "row-body" }, el("p", { class: "hostile" }, plain(text)), rest(row, whole));
    case "call":
      return call(row, failed, whole);
    case "result":
      return el("div", { class: "row-body" }, output({ ...row, text }, whole, terminal));
    case "end":
      return el("div", { class: "row-body" }, ending(row), text === "" ? null : el("div", { class: "report hostile" }, plain(text)), rest(row, whole));
    case "raw":
      return el("div", { class: "row-body" }, output({ ...row, text }, whole, terminal));
    default:
      return el("div", { class: "row-body" }, el("p", { class: "hostile" }, plain(text === "" ? (row.subtype ?? row.type) : text)));
  }
}

/** @param {Row} row */
function ending(row) {
  const facts = [row.outcome ? row.outcome.replaceAll("_", " ") : row.error ? "Ended with an error" : "Ended"];
  if (typeof row.turns === "number") facts.push(`${row.turns} ${row.turns === 1 ? "turn" : "turns"}`);
  if (typeof row.cost_usd === "number") facts.push(`$${row.cost_usd.toFixed(2)}`);
  return el("p", { class: "row-title" }, facts.join(" · "));
}

/**
 * The server's own, sanitised; and still nothing in it may act.
 *
 * @param {string} html
 */
function markdown(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const bad of page.querySelectorAll("script, style, iframe, object, embed, link, meta, base, form, svg, math, img")) bad.remove();
  const made = el("div", { class: "md hostile" });
  made.append(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
  return made;
}

/**
 * @param {string} summary
 * @param {() => Node} inside Made when it is opened.
 * @param {Row} row
 * @param {Whole} whole
 */
function folded(summary, inside, row, whole) {
  const details = el("details", {}, el("summary", { class: "hostile" }, plain(summary)));
  details.addEventListener("toggle", () => details.append(inside(), rest(row, whole) ?? ""), { once: true });
  return el("div", { class: "row-body" }, details);
}

/**
 * @param {Row} row
 * @param {boolean} failed
 * @param {Whole} whole
 */
function call(row, failed, whole) {
  const { show, result } = row;
  const made = el("div", { class: "row-body" });
  const head = el("div", { class: "row-head" }, el("span", { class: "row-tool" }, row.tool ?? "Tool"));
  made.append(head);
  if (failed) head.append(el("span", { class: "chip chip-bad" }, "error"));
  if (show?.as === "terminal") {
    const told = /** @type {{ description?: unknown } | null} */ (row.input)?.description;
    if (typeof told === "string") head.append(el("span", { class: "muted hostile" }, plain(wide(told))));
    const screen = el("div", { class: `terminal hostile${failed ? " output-error" : ""}` }, el("div", { class: "prompt" }, plain(wide(show.command))));
    if (result) screen.append(lines(result, whole, terminal));
    made.append(screen);
  } else if (show?.as === "diff") {
    head.append(el("span", { class: "row-title hostile" }, plain(show.file)));
    made.append(difference(show.hunks));
    const more = wholeInput(row, whole);
    if (more !== null && show.hunks.some(({ hidden }) => (hidden ?? 0) > 0)) made.append(more);
    if (result && failed) made.append(output(result, whole, plain));
  } else {
    if (row.title) head.append(el("span", { class: "row-title hostile" }, plain(wide(row.title))));
    if (hasMore(row)) made.append(unfold("Input", () => el("div", {}, tree(row.input), wholeInput(row, whole) ?? "")));
    if (result && result.text !== "") made.append(output(result, whole, terminal));
  }
  if (result === null || result === undefined) head.append(el("span", { class: "muted" }, "no answer yet"));
  return made;
}

/**
 * Whether the input says more than the title does.
 *
 * @param {Row} row
 */
function hasMore({ input, title }) {
  if (typeof input !== "object" || input === null) return input !== null && input !== undefined;
  const values = Object.values(input);
  return values.length > 1 || (values.length === 1 && values[0] !== title);
}

/**
 * @param {string} summary
 * @param {() => Node} inside
 */
function unfold(summary, inside) {
  const details = el("details", {}, el("summary", {}, summary));
  details.addEventListener("toggle", () => details.append(inside()), { once: true });
  return details;
}

/**
 * @param {Result} result
 * @param {Whole} whole
 * @param {(text: string) => Node} nodes
 */
function output(result, whole, nodes) {
  return el("div", { class: `output hostile${result.error ? " output-error" : ""}` }, lines(result, whole, nodes));
}

/**
 * The first and the last lines, and what shows the others.
 *
 * @param {Result} result
 * @param {Whole} whole
 * @param {(text: string) => Node} nodes
 */
function lines(result, whole, nodes) {
  const text = result.text.replace(/\n+$/, "");
  const list = text.split("\n");
  const place = el("div", {});
  const isLong = list.length > LINES;
  if (!isLong && !result.cut) {
    place.append(nodes(wide(text)));
    if (text.length > WIDE && list.some((line) => line.length > WIDE)) place.append(button("Show all", async () => place.replaceChildren(nodes(text))));
    return place;
  }
  const hidden = list.length - HEAD - TAIL;
  const words = result.cut ? `Show all, ${size(result.size ?? 0)}` : `Show ${hidden} more lines`;
  const more = button(words, async () => {
    const full = result.cut ? await whole(result, "text") : text;
    const shown = el("div", { tabindex: 0, role: "region", "aria-label": "The whole output" }, full.length > 200_000 ? full : nodes(full));
    if (full.length > 200_000) shown.className = "whole";
    place.replaceChildren(shown);
  });
  if (isLong) place.append(nodes(wide(`${list.slice(0, HEAD).join("\n")}`)), el("div", {}, more), nodes(wide(list.slice(-TAIL).join("\n"))));
  else place.append(nodes(wide(text)), el("div", {}, more));
  return place;
}

/**
 * What shows the whole input of a call of which something was cut.
 *
 * @param {Row} row
 * @param {Whole} whole
 */
function wholeInput(row, whole) {
  if (!row.cut) return null;
  const place = el("div", {});
  place.append(button("Show the whole input", async () => {
    place.replaceChildren(el("div", { class: "output whole hostile", tabindex: 0, role: "region", "aria-label": "The whole input" }, await whole(row, "input")));
  }));
  return place;
}

/**
 * @param {Row} row
 * @param {Whole} whole
 */
function rest(row, whole) {
  if (!row.cut) return null;
  const place = el("div", {});
  place.append(button(`Show all, ${size(row.size ?? 0)}`, async () => {
    place.replaceChildren(el("div", { class: "output whole hostile", tabindex: 0, role: "region", "aria-label": "The whole text" }, await whole(row, "text")));
  }));
  return place;
}

/**
 * @param {string} words
 * @param {() => Promise<void>} act
 */
function button(words, act) {
  const made = el("button", { type: "button", class: "btn btn-quiet" }, words);
  made.addEventListener("click", () => {
    made.setAttribute("aria-busy", "true");
    act().catch(() => {
      made.removeAttribute("aria-busy");
      made.textContent = "It could not be fetched. Try again";
    });
  });
  return made;
}

/** @param {Hunk[]} hunks */
function difference(hunks) {
  const count = hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  const place = el("div", { class: "hunks" });
  const fill = (/** @type {number} */ most) => {
    const table = el("table", { class: "diff" });
    let left = most;
    for (const hunk of hunks) {
      if (hunks.length > 1) table.append(el("tr", { class: "hunk" }, el("td", {}, "…")));
      for (const [kind, text] of hunk.lines) {
        if (left-- <= 0) break;
        const name = kind === "-" ? "del" : kind === "+" ? "add" : "ctx";
        table.append(
          // Without numbers: the call says what it replaces, not where.
          el("tr", { class: name }, el("td", { class: "code hostile" }, plain(wide(text)))),
        );
      }
    }
    place.replaceChildren(table);
    if (count > most) place.append(button(`Show all ${count} lines`, async () => fill(Infinity)));
  };
  fill(count > 40 ? 24 : count);
  return place;
}

/**
 * JSON as a tree that is made as far as it is opened.
 *
 * @param {unknown} value
 * @param {string} [key]
 * @returns {HTMLElement}
 */
export function tree(value, key) {
  const label = key === undefined ? "" : `${key}: `;
  if (typeof value === "object" && value !== null) {
    const parts = Array.isArray(value) ? value.map((part, at) => /** @type {[string, unknown]} */ ([String(at), part])) : Object.entries(value);
    const inside = () => el("div", {}, ...parts.slice(0, 500).map(([name, part]) => tree(part, name)));
    if (key === undefined) return el("div", { class: "tree hostile" }, inside());
    const details = el("details", {}, el("summary", {}, el("span", { class: "key" }, plain(label)), Array.isArray(value) ? `[${parts.length}]` : `{${parts.length}}`));
    details.addEventListener("toggle", () => details.append(inside()), { once: true });
    return details;
  }
  const isText = typeof value === "string";
  return el("div", { class: "leaf" }, el("span", { class: "key" }, plain(label)), el("span", { class: isText ? "string" : "value" }, plain(isText ? wide(value) : String(value))));
}

/** @param {string} text */
function firstLine(text) {
  const line = text.trimStart().split("\n", 1)[0] ?? "";
  return line.length > 120 ? `${line.slice(0, 120)}…` : line;
}

/** @param {string} text */
function wide(text) {
  if (text.length <= WIDE) return text;
  return text.split("\n").map((line) => (line.length > WIDE ? `${line.slice(0, WIDE)}… (${size(line.length)} in this line)` : line)).join("\n");
}
