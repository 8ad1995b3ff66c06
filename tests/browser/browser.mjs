// A real browser, and what every test of a page wants to know of it.
//
// From the environment: TOOLS (the directory with `node_modules`), URL (the server, without a slash at the end), LINK (a
// link of `vibe-ensemble dashboard --print`, which becomes the session), KEEP (where screenshots of failures go).
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const { TOOLS = ".", URL: address = "", LINK = "", KEEP = "" } = process.env;
export const require = createRequire(path.resolve(TOOLS, "package.json"));
export const base = address;

const ARGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** A fresh profile. */
const profile = () => fs.mkdtempSync(path.join(os.tmpdir(), "ve-browser-"));

/**
 * Runs `test` in a new Chromium with a session; afterwards nothing of it may have gone wrong in the console, and nothing may
 * have been asked of another host.
 */
export async function chromium(test, { args = [], link = LINK, allow = [], ...options } = {}) {
  const { chromium: engine } = require("playwright-core");
  const directory = profile();
  const context = await engine.launchPersistentContext(directory, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...ARGS, ...args],
    viewport: { width: 1440, height: 900 },
    timezoneId: "UTC",
    ...options,
  });
  context.setDefaultTimeout(20_000);
  const watch = new Watch(allow);
  context.on("page", (page) => watch.page(page));
  for (const page of context.pages()) watch.page(page);
  const page = context.pages()[0] ?? (await context.newPage());
  try {
    // The page of the link leads on by itself.
    if (link !== "") await page.goto(link).then(() => page.waitForURL((url) => url.pathname !== "/login"));
    await page.waitForLoadState();
    await test(page, context, watch);
    watch.verdict();
  } catch (error) {
    if (KEEP !== "") await page.screenshot({ path: path.join(KEEP, `${path.basename(process.argv[1] ?? "", ".mjs")}.png`) }).catch(() => {});
    console.error(`at ${page.url()}`);
    throw error;
  } finally {
    await context.close();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** What must not happen on any page. */
export class Watch {
  constructor(allow = []) {
    this.allow = allow;
    this.wrong = [];
  }

  page(page) {
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.note(`${message.type()} in the console: ${message.text()}`, page);
    });
    page.on("pageerror", (error) => this.note(`an error on the page: ${error.stack ?? error}`, page));
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (["http:", "https:", "ws:", "wss:"].includes(protocol) && origin !== new URL(base).origin) this.note(`a request to another host: ${request.url()}`, page);
    });
    page.on("dialog", (dialog) => {
      // Only a text of an agent that runs could open one.
      this.note(`a dialog: ${dialog.message()}`, page);
      void dialog.dismiss();
    });
  }

  note(what, page) {
    if (!this.allow.some((pattern) => pattern.test(what))) this.wrong.push(`${what} (at ${page.url()})`);
  }

  verdict() {
    assert.deepEqual(this.wrong, []);
  }
}

/** Opens a page and waits until its scripts have run. */
export async function open(page, where) {
  const answer = await page.goto(`${base}${where}`);
  await page.waitForFunction(() => document.readyState === "complete");
  return answer;
}

/** Waits until the condition holds, as often as the page draws; says what it saw if it never does. */
export async function until(what, look, { within = 15_000 } = {}) {
  const end = Date.now() + within;
  let seen;
  do {
    try {
      seen = await look();
      if (seen) return seen;
    } catch (error) {
      // A page that is just being left.
      seen = error;
    }
    await new Promise((done) => setTimeout(done, 50));
  } while (Date.now() < end);
  assert.fail(`never: ${what}; last seen: ${seen}`);
}

/** Violations of WCAG 2.2 AA, as axe finds them, one a line. */
export async function violations(page) {
  const source = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
  // Outside the page's policy, as an extension of the browser would be.
  await page.evaluate(source);
  const found = await page.evaluate(async () => {
    // @ts-ignore: axe was put there by the line above.
    const { violations } = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    // In which order an agent's report uses its headings is the agent's.
    const isTheirs = ({ target }) => document.querySelector(target[0])?.closest(".hostile");
    for (const violation of violations) if (violation.id === "heading-order") violation.nodes = violation.nodes.filter((node) => !isTheirs(node));
    return violations;
  });
  return found.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.target} ${node.html.slice(0, 160)} ${node.failureSummary?.replaceAll("\n", " ").slice(0, 240)}`));
}

/** What stands out of the page at the side. */
export function overflow(page) {
  return page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return [];
    return [...document.querySelectorAll("body *")]
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > room + 1 && !element.closest(".table-wrap, .board, .diff-body, .timeline, .graph, .chart, pre, .tabs, .nav"))
      .map((element) => `${element.localName}.${element.className} ${element.id}`)
      .slice(0, 5);
  });
}

/** Calls a tool as a coordinator does, with TOKEN. */
export async function call(tool, input) {
  const answer = await fetch(`${base}/mcp`, {
    method: "POST",
    headers: {
      "Authorization": `Bearer ${process.env.TOKEN}`, "Content-Type": "application/json",
      "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25",
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: tool, arguments: input } }),
  });
  const text = await answer.text();
  const line = text.split("\n").findLast((one) => one.startsWith("data: {") || one.startsWith("{"));
  const { result, error } = JSON.parse((line ?? "{}").replace(/^data: /, ""));
  assert.ok(result !== undefined && !result.isError, `${tool}: ${JSON.stringify(error ?? result)}`);
  return result.structuredContent;
}

/** The item in which focus is, or the element. */
export function focused(page) {
  return page.evaluate(() => document.activeElement?.closest("[data-item]")?.id ?? document.activeElement?.id ?? null);
}
