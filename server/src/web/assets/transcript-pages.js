// What of a transcript is in memory: pieces of it in the order of the file, with gaps between them. A gap stands for bytes
// that were never read, or that were read and put away.
//
// Invariants: pieces follow each other without overlap from the first byte to the last; a piece that is put away keeps the
// height it had; a call has its result whichever of the two was read first.

/** @typedef {import("./transcript-rows.js").Row} Row */
/** @typedef {{ row: Row, height: number, measured: boolean, hidden: boolean, depth: number, stale: boolean }} Line */
/** @typedef {{ start: number, end: number, lines: Line[] | null, height: number, dead: boolean }} Piece */
/** @typedef {{ start: number, end: number, bytes: number, running: boolean, dropped?: number, first?: number, rows: Row[] }} Answer */

/** So many pages stay in memory, of at most 200 rows each. */
const KEPT = 24;
/** Browsers lay out no page of more than some 17 million pixels. */
const HIGHEST = 8_000_000;
/** Pixels a byte, before anything has been measured: a row of 500 bytes takes 60. */
const USUAL = 0.12;

export class Pages {
  /** @param {number} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    /** @type {Piece[]} */
    this.pieces = [];
    /** Calls in memory, by their id. @type {Map<string, Line>} */
    this.calls = new Map();
    /** Results whose call is not in memory, by its id. @type {Map<string, Line>} */
    this.strays = new Map();
    /** How deep the calls of subagents lie; those at the top are not listed. @type {Map<string, number>} */
    this.depths = new Map();
    this.fill(0, bytes);
  }

  get height() {
    return this.pieces.reduce((sum, piece) => sum + piece.height, 0);
  }

  /** How many pixels a byte takes, by what is known. */
  get ratio() {
    let [pixels, bytes] = [0, 0];
    for (const piece of this.pieces) if (piece.lines !== null) ((pixels += piece.height), (bytes += piece.end - piece.start));
    const seen = bytes > 0 ? pixels / bytes : USUAL;
    return Math.min(seen, HIGHEST / Math.max(1, this.bytes));
  }

  /**
   * A gap, if there is anything between.
   *
   * @param {number} start
   * @param {number} end
   */
  fill(start, end, at = this.pieces.length) {
    if (end <= start) return;
    this.pieces.splice(at, 0, { start, end, lines: null, height: Math.max(24, (end - start) * this.ratio), dead: false });
  }

  /** Where what is known ends; what is written from now on comes behind it. */
  get end() {
    return this.pieces.at(-1)?.end ?? 0;
  }

  /**
   * Takes in a page that was read. Returns the lines that are new.
   *
   * @param {Answer} answer
   * @returns {Line[]}
   */
  take(answer) {
    this.bytes = Math.max(answer.bytes, this.bytes);
    if (answer.end <= answer.start) return [];
    if (answer.start >= this.end) {
      this.fill(this.end, answer.start);
      return this.put(this.pieces.length, answer, answer.start);
    }
    const at = this.pieces.findIndex((piece) => piece.lines === null && piece.start < answer.end && piece.end > answer.start);
    const gap = this.pieces[at];
    if (gap === undefined) return [];
    const pixels = gap.height / (gap.end - gap.start);
    this.pieces.splice(at, 1);
    let here = at;
    const [start, end] = [Math.max(gap.start, answer.start), Math.min(gap.end, answer.end)];
    for (const [from, to] of /** @type {const} */ ([[gap.start, start], [end, gap.end]])) {
      if (to <= from) continue;
      this.pieces.splice(from === gap.start ? here++ : here, 0, { start: from, end: to, lines: null, height: Math.max(24, (to - from) * pixels), dead: false });
    }
    // The gap may be the one to what is being written, of which the page has more than was there.
    const isLast = here === this.pieces.length;
    const rows = answer.rows.filter((row) => row.at >= start && (isLast || row.at < end));
    return this.put(here, { ...answer, rows, end: isLast ? answer.end : end }, start);
  }

  /**
   * @param {number} at
   * @param {Answer} answer
   * @param {number} start
   */
  put(at, { rows, end }, start) {
    const lines = rows.map((row) => this.line(row));
    for (const line of lines) this.join(line);
    const before = this.pieces[at - 1];
    // What trickles in while a run is watched would otherwise be thousands of pieces.
    if (before?.lines && at === this.pieces.length && before.lines.length < 200 && lines.length < 100) {
      before.lines.push(...lines);
      before.end = end;
      this.measure(before);
    } else {
      /** @type {Piece} */
      const piece = { start, end, lines, height: 0, dead: false };
      this.pieces.splice(at, 0, piece);
      this.measure(piece);
    }
    return lines.filter((line) => !line.hidden);
  }

  /**
   * @param {Row} row
   * @returns {Line}
   */
  line(row) {
    const parent = row.parent ?? null;
    const depth = parent === null ? 0 : (this.depths.get(parent) ?? 0) + 1;
    if (row.type === "call" && row.id && depth > 0) this.depths.set(row.id, depth);
    return { row, height: guess(row), measured: false, hidden: false, depth, stale: false };
  }

  /**
   * A call and its result are one row, when both are here.
   *
   * @param {Line} line
   */
  join(line) {
    const { row } = line;
    if (row.type === "call" && row.id) {
      this.calls.set(row.id, line);
      const result = this.strays.get(row.id);
      if (result !== undefined) this.unite(line, result);
    } else if (row.type === "result" && row.for) {
      this.strays.set(row.for, line);
      const call = this.calls.get(row.for);
      if (call !== undefined) this.unite(call, line);
    }
  }

  /**
   * @param {Line} call
   * @param {Line} result
   */
  unite(call, result) {
    const { text = "", error = false, cut = false, size = 0, at, n, line } = result.row;
    call.row = { ...call.row, error: error || call.row.error === true, result: { text, error, cut, size, at, n, line } };
    call.stale = true;
    call.measured = false;
    result.hidden = true;
    result.height = 0;
    for (const piece of this.pieces) if (piece.lines?.includes(result) || piece.lines?.includes(call)) this.measure(piece);
  }

  /** @param {Piece} piece */
  measure(piece) {
    if (piece.lines !== null) piece.height = piece.lines.reduce((sum, line) => sum + line.height, 0);
  }

  /**
   * Puts away what is far from where somebody looks, so that a day of watching takes no more memory than an hour.
   *
   * @param {number} top
   */
  forget(top) {
    const read = this.pieces.filter((piece) => piece.lines !== null);
    if (read.length <= KEPT) return;
    let y = 0;
    /** @type {Map<Piece, number>} */
    const far = new Map();
    for (const piece of this.pieces) {
      far.set(piece, Math.max(y - top, top - y - piece.height, 0));
      y += piece.height;
    }
    read.sort((one, other) => (far.get(other) ?? 0) - (far.get(one) ?? 0));
    for (const piece of read.slice(0, read.length - KEPT)) this.close(piece);
    this.merge();
  }

  /** @param {Piece} piece */
  close(piece) {
    for (const { row } of piece.lines ?? []) {
      if (row.type === "call" && row.id) {
        this.calls.delete(row.id);
        const result = this.strays.get(row.id);
        if (result !== undefined && result.hidden && !piece.lines?.includes(result)) ((result.hidden = false), (result.height = guess(result.row)));
      } else if (row.type === "result" && row.for) this.strays.delete(row.for);
    }
    piece.lines = null;
    piece.height = Math.max(24, piece.height);
  }

  /** Neighbouring gaps are one. */
  merge() {
    for (let at = this.pieces.length - 1; at > 0; at--) {
      const [one, other] = [this.pieces[at - 1], this.pieces[at]];
      if (!one || !other || one.lines !== null || other.lines !== null || one.dead || other.dead) continue;
      this.pieces.splice(at - 1, 2, { start: one.start, end: other.end, lines: null, height: one.height + other.height, dead: false });
    }
    for (const piece of this.pieces) this.measure(piece);
  }
}

/**
 * How high a row will be, until it has been seen.
 *
 * @param {Row} row
 */
function guess(row) {
  const text = row.text ?? "";
  if (row.type === "text") return 16 + 22 * Math.min(60, Math.ceil(text.length / 110) + text.split("\n").length - 1);
  if (row.type !== "call") return row.type === "result" ? 120 : 36;
  if (row.show?.as === "diff") return 60 + 18 * Math.min(26, row.show.hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0));
  const lines = row.result ? Math.min(16, row.result.text.split("\n").length) : 0;
  return 44 + 18 * lines + (row.show?.as === "terminal" ? 24 : 0);
}
