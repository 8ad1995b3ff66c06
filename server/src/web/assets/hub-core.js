// The one connection to the server's events for all tabs of a browser. It runs in a shared worker, or, where there is
// none, in the tab that leads.
//
// Invariants: nothing is connected while every tab is hidden; a tab that was hidden learns what it missed when it is
// shown; an event that was missed for good is told as a gap, upon which a tab looks at everything again.

/**
 * @typedef {{ seq: number, topics: string[], kind?: string, summary?: string }} Change
 * @typedef {{ what: "changes", topics: string[], last: Change | null }
 *   | { what: "gap" } | { what: "tick", inbox: number, running: number } | { what: "state", state: State } | { what: "locked" }} Said
 * @typedef {"live" | "connecting" | "reconnecting" | "busy"} State
 * @typedef {{ visible: boolean, missed: Set<string>, send: (said: Said) => void }} Tab
 */

/** The server says something every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS = 40_000;
/** One who only looks at another tab for a moment keeps the connection. */
const LINGER_MS = 3_000;
/** A burst is passed on as one message. */
const GATHER_MS = 50;

export class Hub {
  constructor() {
    /** @type {Set<Tab>} */
    this.tabs = new Set();
    /** The newest event that was seen; where the next connection begins. */
    this.seq = 0;
    /** @type {AbortController | null} */
    this.connection = null;
    /** @type {State} */
    this.state = "connecting";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.lingering = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.gathering = undefined;
    /** @type {Set<string>} */
    this.gathered = new Set();
    /** @type {Change | null} */
    this.last = null;
  }

  /**
   * @param {Tab} tab
   * @param {number} seq The newest event that its page shows.
   */
  add(tab, seq) {
    this.tabs.add(tab);
    if (this.seq === 0) this.seq = seq;
    // The page is older than what the connection has passed on.
    else if (seq < this.seq) tab.visible ? tab.send({ what: "changes", topics: ["*"], last: null }) : tab.missed.add("*");
    else if (this.connection === null) this.seq = seq;
    tab.send({ what: "state", state: this.state });
    this.arrange();
  }

  /** @param {Tab} tab */
  remove(tab) {
    this.tabs.delete(tab);
    this.arrange();
  }

  /**
   * @param {Tab} tab
   * @param {boolean} visible
   */
  show(tab, visible) {
    tab.visible = visible;
    if (visible && tab.missed.size > 0) {
      tab.send({ what: "changes", topics: [...tab.missed], last: null });
      tab.missed.clear();
    }
    if (visible) tab.send({ what: "state", state: this.state });
    this.arrange();
  }

  arrange() {
    const wanted = [...this.tabs].some((tab) => tab.visible);
    clearTimeout(this.lingering);
    if (wanted && this.connection === null) void this.connect();
    if (!wanted && this.connection !== null) {
      const linger = this.tabs.size === 0 ? 0 : LINGER_MS;
      this.lingering = setTimeout(() => {
        this.connection?.abort();
        this.connection = null;
        this.state = "connecting";
      }, linger);
    }
  }

  /** @param {State} state */
  enter(state) {
    if (state === this.state) return;
    this.state = state;
    for (const tab of this.tabs) if (tab.visible) tab.send({ what: "state", state });
  }

  async connect() {
    const mine = new AbortController();
    this.connection = mine;
    let failures = 0;
    while (!mine.signal.aborted) {
      const pause = await this.listen(mine.signal, () => (failures = 0)).catch(() => 0);
      if (mine.signal.aborted) return;
      failures += 1;
      this.enter(pause > 0 ? "busy" : "reconnecting");
      // Many browsers that lose the same server must not all come back in the same moment.
      const wait = Math.max(pause, Math.min(15_000, 500 * 2 ** failures)) * (0.75 + Math.random() / 2);
      await new Promise((done) => {
        const timer = setTimeout(done, wait);
        mine.signal.addEventListener("abort", () => (clearTimeout(timer), done(undefined)), { once: true });
      });
    }
  }

  /**
   * Listens until the connection ends; returns how long the server asks to wait before the next, in milliseconds.
   *
   * @param {AbortSignal} signal
   * @param {() => void} isUp
   */
  async listen(signal, isUp) {
    const quiet = new AbortController();
    const either = AbortSignal.any([signal, quiet.signal]);
    let watchdog = setTimeout(() => quiet.abort(), SILENCE_MS);
    try {
      const answer = await fetch(`/api/events?after=${this.seq}`, {
        headers: { Accept: "text/event-stream", "Last-Event-ID": String(this.seq) },
        cache: "no-store",
        signal: either,
      });
      if (answer.status === 401 || answer.status === 403) {
        for (const tab of this.tabs) tab.send({ what: "locked" });
        return 60_000;
      }
      if (!answer.ok || answer.body === null) return Number(answer.headers.get("Retry-After") ?? 0) * 1000;
      isUp();
      this.enter("live");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return 0;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => quiet.abort(), SILENCE_MS);
        rest += value;
        const blocks = rest.split(/\r?\n\r?\n/);
        rest = blocks.pop() ?? "";
        for (const block of blocks) this.hear(block);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** @param {string} block One message of the stream, without the empty line that ends it. */
  hear(block) {
    let [name, id, data] = ["message", "", ""];
    for (const line of block.split(/\r?\n/)) {
      const [, field, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
      if (field === "event") name = value ?? "";
      else if (field === "id") id = value ?? "";
      else if (field === "data") data += value ?? "";
    }
    // After a gap that the server declares because its log begins anew, numbers may be lower.
    if (id !== "") this.seq = name === "gap" ? Number(id) : Math.max(this.seq, Number(id));
    if (data === "") return;
    const said = JSON.parse(data);
    if (name === "change") this.gather(said);
    else if (name === "gap") this.tell({ what: "gap" }, "*");
    else if (name === "locked") this.tell({ what: "locked" }, "*");
    else if (name === "tick") this.tell({ what: "tick", inbox: said.inbox, running: said.running }, "running");
  }

  /** @param {Change} change */
  gather(change) {
    for (const topic of change.topics) this.gathered.add(topic);
    this.last = change;
    this.gathering ??= setTimeout(() => {
      this.gathering = undefined;
      const topics = [...this.gathered];
      this.gathered.clear();
      this.tell({ what: "changes", topics, last: this.last }, ...topics);
    }, GATHER_MS);
  }

  /**
   * @param {Said} said
   * @param {...string} topics What a hidden tab must look at again because of it.
   */
  tell(said, ...topics) {
    for (const tab of this.tabs) {
      if (tab.visible) tab.send(said);
      // There are as many topics as tickets; whoever missed hundreds looks at everything.
      else if (tab.missed.size > 200) tab.missed = new Set(["*"]);
      else for (const topic of topics) tab.missed.add(topic);
    }
  }
}
