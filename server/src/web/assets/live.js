// Keeps the regions of a page as they are on the server, without a reload.
import { all, el, meta, one } from "./dom.js";
import { morph } from "./morph.js";
import { Hub } from "./hub-core.js";
import { setClock } from "./times.js";
import { say } from "./toasts.js";

/** @typedef {import("./hub-core.js").Said} Said */

/** Two looks at the server are at least so far apart. */
const APART_MS = 250;

const STATES = { live: "Live", connecting: "Connecting", reconnecting: "Reconnecting", busy: "Too many pages are open" };

/** What has changed since the last look. @type {Set<string>} */
const dirty = new Set();
let looking = false;
let pressed = false;
let next = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let planned;

export function start() {
  if (document.documentElement.dataset["page"] === "locked") return;
  // What a press began on must still be there when it ends.
  addEventListener("pointerdown", () => (pressed = true), true);
  for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => ((pressed = false), plan()), true);
  document.addEventListener("visibilitychange", () => document.hidden || plan());
  connect();
}

/** @param {...string} topics */
export function refresh(...topics) {
  for (const topic of topics) dirty.add(topic);
  plan();
}

/** @param {Said} said */
function hear(said) {
  switch (said.what) {
    case "changes":
      document.dispatchEvent(new CustomEvent("ve:changes", { detail: said }));
      return refresh(...said.topics);
    case "gap":
      return refresh("*");
    case "tick":
      document.dispatchEvent(new CustomEvent("ve:tick"));
      return refresh("running");
    case "state":
      return show(said.state);
    case "locked":
      return location.reload();
  }
}

/** @param {keyof typeof STATES} state */
function show(state) {
  const place = one("#live");
  if (place === null) return;
  place.hidden = false;
  place.classList.add("live");
  place.setAttribute("data-js-state", state);
  place.setAttribute("data-keep", "");
  place.textContent = STATES[state];
  place.title = state === "live" ? "The page changes by itself" : "What you see may be out of date";
}

function connect() {
  const hello = { seq: Number(meta("seq")), visible: !document.hidden };
  const lock = `tab-${crypto.randomUUID?.() ?? Math.random()}`;
  if (typeof SharedWorker === "undefined" || navigator.locks === undefined) return connectAlone(hello);
  try {
    const worker = new SharedWorker(new URL("hub.js", import.meta.url), { type: "module", name: "vibe-ensemble" });
    worker.onerror = () => connectAlone(hello);
    worker.port.onmessage = ({ data }) => hear(data);
    // Held as long as this page lives. The worker asks for it too, so it must be ours before the worker knows of it.
    void navigator.locks.request(lock, () => {
      worker.port.postMessage({ what: "hello", lock, ...hello, visible: !document.hidden });
      return new Promise(() => {});
    });
    document.addEventListener("visibilitychange", () => worker.port.postMessage({ what: "visible", visible: !document.hidden }));
    addEventListener("pagehide", () => worker.port.postMessage({ what: "bye" }));
    addEventListener("pageshow", ({ persisted }) => {
      if (persisted) worker.port.postMessage({ what: "hello", lock, seq: 0, visible: !document.hidden });
    });
  } catch {
    connectAlone(hello);
  }
}

let alone = false;

/**
 * Where there is no shared worker, the tab that gets the lock connects for all.
 *
 * @param {{ seq: number, visible: boolean }} hello
 */
function connectAlone(hello) {
  if (alone) return;
  alone = true;
  const hub = new Hub();
  /** @type {import("./hub-core.js").Tab} */
  const mine = { visible: hello.visible, missed: new Set(), send: hear };
  if (navigator.locks === undefined || typeof BroadcastChannel === "undefined") {
    hub.add(mine, hello.seq);
    document.addEventListener("visibilitychange", () => hub.show(mine, !document.hidden));
    return;
  }
  const channel = new BroadcastChannel("vibe-ensemble");
  let leads = false;
  channel.onmessage = ({ data }) => {
    if (!leads) hear(data);
    else if (data === "who leads?") channel.postMessage({ what: "state", state: hub.state });
  };
  void navigator.locks.request("vibe-ensemble-leader", () => {
    leads = true;
    hub.add(mine, hello.seq);
    hub.add({ visible: true, missed: new Set(), send: (said) => channel.postMessage(said) }, hello.seq);
    // It may have missed what the last leader did not pass on any more.
    refresh("*");
    return new Promise(() => {});
  });
  channel.postMessage("who leads?");
  document.addEventListener("visibilitychange", () => document.hidden || refresh("*"));
}

function plan() {
  if (dirty.size === 0 || looking || pressed || document.hidden) return;
  clearTimeout(planned);
  planned = setTimeout(() => void look(), Math.max(0, next - performance.now()));
}

/** The regions that show something that has changed; of one within another only the outer. */
function regions() {
  const found = all("[data-live][id]").filter((region) => {
    const topics = (region.dataset["live"] ?? "").split(" ");
    return dirty.has("*") || topics.includes("*") || topics.some((topic) => dirty.has(topic));
  });
  return found.filter((region) => !found.some((other) => other !== region && other.contains(region)));
}

async function look() {
  const wanted = regions();
  dirty.clear();
  if (wanted.length === 0) return;
  looking = true;
  const begun = performance.now();
  try {
    const answer = await fetch(location.href, {
      headers: { "Vibe-Regions": wanted.map((region) => region.id).join(",") },
      cache: "no-store",
    });
    if (answer.status === 401 || answer.status === 403) return location.reload();
    // The page itself is gone, a ticket that was deleted for example; what is shown stays, and the next load says so.
    if (!answer.ok) return;
    setClock(answer.headers.get("Date"));
    adopt(new DOMParser().parseFromString(await answer.text(), "text/html"), wanted);
  } catch {
    // The server is away. The connection for events notices it too, and has us look again once it is back.
    for (const region of wanted) for (const topic of (region.dataset["live"] ?? "").split(" ")) dirty.add(topic);
    next = performance.now() + 2000;
    return;
  } finally {
    looking = false;
    const took = performance.now() - begun;
    next = Math.max(next, performance.now() + Math.max(APART_MS, 2 * took) - took);
    plan();
  }
}

/**
 * @param {Document} fresh
 * @param {HTMLElement[]} wanted
 */
function adopt(fresh, wanted) {
  const before = one("#inbox-count")?.textContent ?? "";
  for (const region of wanted) {
    const found = fresh.getElementById(region.id);
    if (found !== null && region.isConnected) morph(region, found);
  }
  if (fresh.title !== "") document.title = fresh.title;
  const seq = fresh.querySelector("meta[name=seq]")?.getAttribute("content");
  if (seq) document.querySelector("meta[name=seq]")?.setAttribute("content", seq);
  document.dispatchEvent(new CustomEvent("ve:updated"));
  announce(before);
  const revision = fresh.documentElement.dataset["rev"];
  if (revision !== undefined && revision !== document.documentElement.dataset["rev"]) offerReload();
}

/**
 * The one change that somebody who does not see the page must hear of.
 *
 * @param {string} before
 */
function announce(before) {
  const now = one("#inbox-count")?.textContent ?? "";
  const count = Number.parseInt(now.replaceAll(",", ""), 10);
  if (count > Number.parseInt(before.replaceAll(",", ""), 10)) say(count === 1 ? "One item waits for you." : `${count} items wait for you.`);
}

let offered = false;

function offerReload() {
  if (offered) return;
  offered = true;
  const button = el("button", { type: "button", class: "btn" }, "Reload");
  button.addEventListener("click", () => location.reload());
  say("The server was upgraded. This page is of the version before.", { body: button, stays: true });
}
