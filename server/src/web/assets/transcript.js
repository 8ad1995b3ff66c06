// The transcript of an attempt, from a few lines to a hundred megabytes, while it is written or long after.
//
// Only rows that are to be seen are in the document. The scroll bar stands for the whole file: where nothing has been read
// yet, rows are read when somebody gets there.
import { el, icon, iconButton, one } from "./dom.js";
import { onKey } from "./keys.js";
import { say } from "./toasts.js";
import { Pages } from "./transcript-pages.js";
import { draw } from "./transcript-rows.js";

/**
 * @typedef {import("./transcript-pages.js").Answer} Answer
 * @typedef {import("./transcript-pages.js").Line} Line
 * @typedef {import("./transcript-pages.js").Piece} Piece
 */

const PAGE = 200;
/** Bytes before a row to which one jumps that are read with it. */
const BEFORE = 30_000;
const POLL_MS = 1000;
/** Rows so far beyond what is to be seen are drawn too. */
const BEYOND = 600;
/** So near to the end somebody who scrolls there wants to follow. */
const NEAR = 32;

const KINDS = /** @type {const} */ ([
  ["error", "e", "warning"],
  ["tool", "t", "tool"],
  ["file", "f", "file"],
]);

export function start() {
  const place = one("#transcript");
  const source = place?.dataset["src"];
  if (place && source && !place.hasAttribute("data-keep")) void new Transcript(place, source).open();
}

class Transcript {
  /**
   * @param {HTMLElement} place
   * @param {string} source
   */
  constructor(place, source) {
    this.place = place;
    this.source = source;
    this.running = place.hasAttribute("data-running");
    this.pages = new Pages(Number(place.dataset["bytes"] ?? 0));
    this.follows = true;
    this.unseen = 0;
    this.lastTop = 0;
    this.reading = false;
    /** @type {Map<Line, HTMLElement>} */
    this.drawn = new Map();
    this.note = el("span", { class: "muted" });
    this.canvas = el("div", { class: "tr-canvas", "data-list": true });
    this.scroll = el("div", { class: "tr-scroll", tabindex: 0, role: "region", "aria-label": "Transcript, scrolls" }, this.canvas);
    this.pill = el("button", { type: "button", class: "btn tr-pill" }, icon("down"), el("span", {}));
    this.pill.hidden = true;
    this.sizes = new ResizeObserver((entries) => this.resized(entries));
    /** @type {Promise<unknown>} */
    this.queue = Promise.resolve();
  }

  async open() {
    const buttons = KINDS.map(([kind, key, picture]) => {
      const button = iconButton(picture, `Next ${kind} (${key}; back: Shift-${key.toUpperCase()})`);
      button.addEventListener("click", (event) => void this.jump(kind, event.shiftKey));
      onKey(key, () => void this.jump(kind, false));
      onKey(key.toUpperCase(), () => void this.jump(kind, true));
      return button;
    });
    const first = iconButton("up", "Beginning (Home)");
    const last = iconButton("down", "Newest (End)");
    const bar = el("div", { class: "tr-bar" }, el("h2", {}, "Transcript"), this.note, ...buttons, first, last);
    this.place.setAttribute("data-keep", "");
    let answer;
    try {
      answer = await this.read(`tail=${PAGE}`);
    } catch {
      // The rows that came with the page stay.
      this.place.removeAttribute("data-keep");
      return;
    }
    this.place.replaceChildren(bar, this.scroll, this.pill);
    this.pages = new Pages(answer.start);
    this.take(answer);
    first.addEventListener("click", () => this.home());
    last.addEventListener("click", () => this.follow());
    this.pill.addEventListener("click", () => this.follow());
    onKey("End", () => this.follow());
    onKey("Home", () => this.home());
    this.scroll.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.layout()).observe(this.scroll);
    this.toEnd();
    const timer = setInterval(() => (this.place.isConnected ? void this.poll() : clearInterval(timer)), POLL_MS);
    document.addEventListener("visibilitychange", () => void this.poll());
    const wanted = /^#at-(\d+)$/.exec(location.hash)?.[1];
    if (wanted !== undefined) void this.goto(Number(wanted));
  }

  /**
   * @param {string} query
   * @returns {Promise<Answer>}
   */
  async read(query) {
    const answer = await fetch(`${this.source}?${query}`, { cache: "no-store" });
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new Error(`the transcript was refused: ${answer.status}`);
    return answer.json();
  }

  /** @param {Answer} answer */
  take(answer) {
    // Segments of the beginning were removed: whatever is known by its offset lies elsewhere now.
    if (answer.first !== undefined && this.first !== undefined && answer.first !== this.first) location.reload();
    this.first = answer.first;
    const fresh = this.pages.take(answer);
    this.running = answer.running;
    const lost = answer.dropped ? " · its beginning was not kept" : "";
    const words = `${this.running ? "Running" : "Ended"}${lost}`;
    if (this.note.textContent !== words) this.note.textContent = words;
    return fresh;
  }

  /** What was written since the last look. */
  async poll() {
    if (!this.running || document.hidden || this.reading || !this.place.isConnected) return;
    this.reading = true;
    try {
      for (;;) {
        const from = this.pages.end;
        const answer = await this.read(`from=${from}&limit=${PAGE}`);
        const fresh = this.take(answer);
        if (!this.follows) this.unseen += fresh.length;
        this.layout();
        if (this.follows) this.toEnd();
        else this.tell();
        if (answer.end <= from || answer.end >= answer.bytes) break;
      }
    } catch {
      // The server is away; the next look is in a second.
    } finally {
      this.reading = false;
    }
  }

  /** Draws what is to be seen, and nothing else. */
  layout() {
    const anchor = this.anchor();
    for (let round = 0; round < 4; round++) {
      this.drawVisible();
      if (!this.measureDrawn()) break;
      this.hold(anchor);
    }
    this.arrange();
    this.fetchGaps();
  }

  /** The first row to be seen, and how far it is from the top. */
  anchor() {
    const top = this.scroll.scrollTop;
    const bottom = top + this.scroll.clientHeight;
    let y = 0;
    for (const piece of this.pages.pieces) {
      if (y > bottom) return null;
      if (y + piece.height > top && piece.lines !== null) {
        for (const line of piece.lines) {
          if (y + line.height > top && !line.hidden) return y > bottom ? null : { line, offset: y - top };
          y += line.height;
        }
      } else y += piece.height;
    }
    return null;
  }

  /**
   * What somebody reads stays where it is when something above it becomes higher or lower.
   *
   * @param {{ line: Line, offset: number } | null} anchor
   */
  hold(anchor) {
    this.canvas.style.height = `${this.pages.height}px`;
    if (this.follows) return this.toEnd();
    if (anchor === null) return;
    const top = this.topOf(anchor.line);
    if (top === null) return;
    const wanted = top - anchor.offset;
    if (Math.abs(wanted - this.scroll.scrollTop) >= 1) this.scrollTo(wanted);
  }

  /** @param {number} top */
  scrollTo(top) {
    this.scroll.scrollTop = top;
    this.lastTop = this.scroll.scrollTop;
  }

  toEnd() {
    this.canvas.style.height = `${this.pages.height}px`;
    this.scrollTo(this.pages.height);
    this.drawVisible();
    if (this.measureDrawn()) {
      this.canvas.style.height = `${this.pages.height}px`;
      this.scrollTo(this.pages.height);
      this.drawVisible();
    }
    this.arrange();
  }

  /**
   * @param {Line} wanted
   * @returns {number | null}
   */
  topOf(wanted) {
    let y = 0;
    for (const piece of this.pages.pieces) {
      const at = piece.lines?.indexOf(wanted) ?? -1;
      if (at === -1 || piece.lines === null) y += piece.height;
      else return piece.lines.slice(0, at).reduce((sum, line) => sum + line.height, y);
    }
    return null;
  }

  /** @param {Line} line */
  isSeen(line) {
    const frame = this.scroll.getBoundingClientRect();
    const row = this.drawn.get(line)?.getBoundingClientRect();
    return row !== undefined && row.bottom > frame.top && row.top < frame.bottom;
  }

  /** The lines that are to be seen, with where they are. */
  visible() {
    const [from, to] = [this.scroll.scrollTop - BEYOND, this.scroll.scrollTop + this.scroll.clientHeight + BEYOND];
    /** @type {Map<Line, number>} */
    const found = new Map();
    let y = 0;
    for (const piece of this.pages.pieces) {
      if (piece.lines === null || y + piece.height < from || y > to) {
        y += piece.height;
        continue;
      }
      for (const line of piece.lines) {
        if (!line.hidden && y + line.height >= from && y <= to) found.set(line, y);
        y += line.height;
      }
    }
    return found;
  }

  drawVisible() {
    const wanted = this.visible();
    const focused = document.activeElement;
    for (const [line, element] of this.drawn) {
      if ((wanted.has(line) && !line.stale) || (element.contains(focused) && !line.stale && !line.hidden)) continue;
      this.sizes.unobserve(element);
      element.remove();
      this.drawn.delete(line);
    }
    /** @type {Element | null} */
    let after = null;
    for (const line of wanted.keys()) {
      let element = this.drawn.get(line);
      if (element === undefined) {
        element = draw(line.row, line.depth, (place, part) => this.whole(place, part));
        line.stale = false;
        line.measured = false;
        this.drawn.set(line, element);
        if (after === null) this.canvas.prepend(element);
        else after.after(element);
        this.sizes.observe(element);
      }
      after = element;
    }
    // A feed without an article is none.
    if (this.drawn.size > 0) {
      this.canvas.setAttribute("role", "feed");
      this.canvas.setAttribute("aria-label", "Transcript");
    } else {
      this.canvas.removeAttribute("role");
      this.canvas.removeAttribute("aria-label");
    }
  }

  /** Whether a height was not what was thought. */
  measureDrawn() {
    let changed = false;
    for (const [line, element] of this.drawn) {
      if (line.measured) continue;
      line.measured = true;
      const height = element.offsetHeight;
      if (height !== line.height && !line.hidden) ((line.height = height), (changed = true));
    }
    if (changed) for (const piece of this.pages.pieces) this.pages.measure(piece);
    return changed;
  }

  /** @param {ResizeObserverEntry[]} entries */
  resized(entries) {
    let changed = false;
    const lines = new Map([...this.drawn].map(([line, element]) => [/** @type {Element} */ (element), line]));
    const anchor = this.anchor();
    for (const { target } of entries) {
      const line = lines.get(target);
      const height = /** @type {HTMLElement} */ (target).offsetHeight;
      if (line !== undefined && height > 0 && height !== line.height) ((line.height = height), (changed = true));
    }
    if (!changed) return;
    for (const piece of this.pages.pieces) this.pages.measure(piece);
    this.hold(anchor);
    this.layout();
  }

  arrange() {
    this.canvas.style.height = `${this.pages.height}px`;
    let y = 0;
    for (const piece of this.pages.pieces) {
      if (piece.lines === null) y += piece.height;
      else
        for (const line of piece.lines) {
          const element = this.drawn.get(line);
          if (element !== undefined) element.style.top = `${y}px`;
          y += line.height;
        }
    }
  }

  /** Reads what is to be seen and was not read yet. */
  fetchGaps() {
    if (this.filling) return;
    const [from, to] = [this.scroll.scrollTop - BEYOND, this.scroll.scrollTop + this.scroll.clientHeight + BEYOND];
    let y = 0;
    for (const piece of this.pages.pieces) {
      if (piece.lines === null && !piece.dead && y + piece.height > from && y < to) {
        void this.fillGap(piece, (from + BEYOND - y) / piece.height, (to - BEYOND - y) / piece.height);
        return;
      }
      y += piece.height;
    }
  }

  /**
   * @param {Piece} gap
   * @param {number} above Where in it, from 0 to 1, what is to be seen begins.
   * @param {number} below Where it ends.
   */
  async fillGap(gap, above, below) {
    this.filling = true;
    const near = BEYOND / gap.height;
    // From the side from which somebody comes, or else in the middle of nowhere.
    const query =
      below >= 1 - near ? `before=${gap.end}` : above <= near ? `from=${gap.start}` : `from=${Math.floor(gap.start + above * (gap.end - gap.start))}`;
    try {
      const answer = await this.read(`${query}&limit=${PAGE}`);
      const before = this.anchor();
      const isEmpty = answer.end <= answer.start;
      this.take(answer);
      if (isEmpty) gap.dead = true;
      this.pages.forget(this.scroll.scrollTop + this.scroll.clientHeight / 2);
      this.hold(before);
    } catch {
      await new Promise((done) => setTimeout(done, 1000));
    } finally {
      this.filling = false;
    }
    this.layout();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const atEnd = scrollTop + clientHeight >= scrollHeight - NEAR;
    if (atEnd) {
      if (!this.follows) ((this.follows = true), (this.unseen = 0));
    } else if (scrollTop < this.lastTop - 2) this.follows = false;
    this.lastTop = scrollTop;
    this.tell();
    this.planned ??= requestAnimationFrame(() => {
      this.planned = undefined;
      this.layout();
    });
  }

  tell() {
    const shown = !this.follows;
    if (this.pill.hidden === shown) this.pill.hidden = !shown;
    const words = this.unseen > 0 ? `${this.unseen} new` : this.running ? "Follow" : "To the end";
    const place = this.pill.lastElementChild;
    if (place !== null && place.textContent !== words) place.textContent = words;
  }

  follow() {
    this.follows = true;
    this.unseen = 0;
    // The end may have been put away.
    this.toEnd();
    this.tell();
    this.layout();
  }

  home() {
    this.follows = false;
    this.scrollTo(0);
    this.tell();
    this.layout();
  }

  /**
   * @param {{ at?: number, n?: number }} place
   * @param {string} part
   */
  async whole({ at = 0, n = 0 }, part) {
    const answer = await fetch(`${this.source.replace(/transcript$/, "row")}?at=${at}&n=${n}&part=${part}`);
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  /**
   * To the next row of a kind, wherever in the file it is.
   *
   * @param {string} kind
   * @param {boolean} back
   */
  async jump(kind, back) {
    // From where somebody jumped last, unless they have gone elsewhere since.
    const last = this.found === undefined ? null : this.lineAt(this.found);
    const stays = last !== null && this.isSeen(last);
    const here = (stays ? this.found : this.anchor()?.line.row.at) ?? (back ? this.pages.bytes : 0);
    let after = here;
    try {
      // The server looks at so much for one answer; a person who has pressed nothing else waits on.
      for (let asked = 0; asked < 64; asked++) {
        const answer = await fetch(`${this.source.replace(/transcript$/, "next")}?after=${after}&kind=${kind}${back ? "&back=1" : ""}`, { cache: "no-store" });
        if (!answer.ok) throw new Error(String(answer.status));
        const { at, reached } = await answer.json();
        if (typeof at === "number") return await this.goto(at);
        if (typeof reached !== "number" || reached === after || (back ? reached <= 0 : reached >= this.pages.bytes)) break;
        after = reached;
      }
      say(back ? `No ${kind} before this.` : `No further ${kind}.`);
    } catch {
      say("The transcript could not be searched.", { bad: true });
    }
  }

  /** @param {number} at */
  async goto(at) {
    this.follows = false;
    // With what comes before it, so that a result has its call; and if that is too much, without.
    for (const from of [Math.max(0, at - BEFORE), at]) {
      if (this.lineAt(at) !== null) break;
      this.take(await this.read(`from=${from}&limit=${PAGE}`));
      this.pages.forget(this.roughly(at));
    }
    const line = this.lineAt(at);
    if (line === null) return;
    this.found = at;
    for (let round = 0; round < 3; round++) {
      this.scrollTo(Math.max(0, (this.topOf(line) ?? 0) - 80));
      this.drawVisible();
      if (!this.measureDrawn()) break;
    }
    this.arrange();
    for (const element of this.canvas.querySelectorAll("[data-js-found]")) element.removeAttribute("data-js-found");
    const element = this.drawn.get(line);
    element?.setAttribute("data-js-found", "");
    element?.focus({ preventScroll: true });
    this.tell();
    this.layout();
  }

  /**
   * The row at an offset; of a result, the call that it belongs to.
   *
   * @param {number} at
   * @returns {Line | null}
   */
  lineAt(at) {
    for (const piece of this.pages.pieces) {
      if (piece.lines === null || at < piece.start || at >= piece.end) continue;
      const here = piece.lines.filter(({ row }) => row.at === at || row.result?.at === at);
      // Of several rows of one line the one that failed, or a call, is what somebody looks for.
      const line = here.find(({ row }) => row.error) ?? here.find(({ row }) => row.type === "call") ?? here[0] ?? piece.lines.find(({ row }) => row.at >= at);
      if (line === undefined) return null;
      return line.hidden && line.row.for ? (this.pages.calls.get(line.row.for) ?? line) : line;
    }
    return null;
  }

  /** @param {number} at */
  roughly(at) {
    let y = 0;
    for (const piece of this.pages.pieces) {
      if (at < piece.end) break;
      y += piece.height;
    }
    return y;
  }

  /** The oldest segment that is kept. @type {number | undefined} */
  first;
  /** @type {boolean | undefined} */
  filling;
  /** @type {number | undefined} */
  planned;
  /** The row to which somebody jumped last. @type {number | undefined} */
  found;
}
