// Texts of agents and programs as nodes. Colours of a terminal become classes; nothing else that a terminal would obey is
// left, and what the server made visible (`⟨U+202E⟩`, `␛`) stands out.

/** An escape for colour and weight: as itself, or as the server made it visible. */
const ESCAPE = /(?:\u001b|␛|⟨U\+001B⟩)\[([0-9;]*)m/g;
/** Other escapes a terminal obeys: cursor, erasing, titles. They say nothing to a reader. */
const OTHER = /(?:\u001b|␛|⟨U\+001B⟩)(?:\[[0-9;?]*[A-Za-ln-z]|\][^\u0007␇⟨]*(?:\u0007|␇|⟨U\+0007⟩)|[()][A-Z0-9])/g;
const VISIBLE = /⟨U\+[0-9A-F]{4,6}⟩|[\u2400-\u241f\u2421]/g;
const KNOWN = new Set([1, 2, 3, 4, 30, 31, 32, 33, 34, 35, 36, 37, 90, 91, 92, 93, 94, 95, 96, 97]);

/**
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function plain(text) {
  const made = document.createDocumentFragment();
  let from = 0;
  for (const found of text.matchAll(VISIBLE)) {
    made.append(text.slice(from, found.index));
    const mark = document.createElement("span");
    mark.className = "ctl";
    mark.textContent = found[0].length > 1 ? found[0].slice(1, -1) : found[0];
    made.append(mark);
    from = found.index + found[0].length;
  }
  made.append(text.slice(from));
  return made;
}

/**
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function terminal(text) {
  const shown = text.replace(OTHER, "").split("\n").map(overwritten).join("\n");
  const made = document.createDocumentFragment();
  /** @type {Set<number>} */
  let worn = new Set();
  let from = 0;
  const put = (/** @type {string} */ piece) => {
    if (piece === "") return;
    if (worn.size === 0) return made.append(plain(piece));
    const span = document.createElement("span");
    span.className = [...worn].map((code) => `sgr-${code}`).join(" ");
    span.append(plain(piece));
    made.append(span);
  };
  for (const found of shown.matchAll(ESCAPE)) {
    put(shown.slice(from, found.index));
    worn = dressed(worn, found[1] ?? "");
    from = found.index + found[0].length;
  }
  put(shown.slice(from));
  return made;
}

/**
 * A progress bar is written over and over in one line; a reader wants its last state.
 *
 * @param {string} line
 */
function overwritten(line) {
  const parts = line.split(/\r|␍|⟨U\+000D⟩/).filter((part) => part !== "");
  return parts.at(-1) ?? "";
}

/**
 * @param {Set<number>} before
 * @param {string} codes
 */
function dressed(before, codes) {
  const worn = new Set(before);
  const list = codes.split(";").map(Number);
  for (let at = 0; at < list.length; at++) {
    const code = list[at] ?? 0;
    if (code === 0) worn.clear();
    // Colours of a palette or of three parts: their numbers are no codes.
    else if (code === 38 || code === 48) at += list[at + 1] === 5 ? 2 : 4;
    else if (code === 22) (worn.delete(1), worn.delete(2));
    else if (code === 23 || code === 24) worn.delete(code - 20);
    else if (code === 39) for (const other of worn) other >= 30 && worn.delete(other);
    if (!KNOWN.has(code)) continue;
    if (code >= 30) for (const other of worn) other >= 30 && worn.delete(other);
    worn.add(code);
  }
  return worn;
}
