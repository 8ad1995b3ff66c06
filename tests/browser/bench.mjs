// The budgets of the dashboard, measured and printed. Started by `cargo run --release -p e2e --bin dashboard -- --bench`,
// which says in the environment: PAGES, ATTEMPT (running), FILE (its transcript), TICKET, PROJECT (to make events in), PID (of
// the server) and MINUTES.
import fs from "node:fs";
import { base, call, chromium, open } from "./browser.mjs";

const { ATTEMPT: attempt = "", FILE: file = "", TICKET: ticket = "T-1", PROJECT: project = "spare", PID: pid = "", MINUTES: minutes = "1" } = process.env;
const pages = (process.env.PAGES ?? "/").split("\n").filter(Boolean);
const at = (list, part) => [...list].sort((one, other) => one - other)[Math.min(list.length - 1, Math.floor(list.length * part))] ?? NaN;
const ms = (value) => `${value.toFixed(1)} ms`;
const line = (what, measured, budget) => console.log(`${what.padEnd(58)} ${measured.padStart(26)}   ${budget}`);
const resident = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

/** Makes two events. */
async function stir() {
  await call("pause", { project, reason: "a benchmark" });
  await call("resume", { project });
}

async function gets(count) {
  const took = [];
  for (let times = 0; times < count; times++) {
    const begun = performance.now();
    await call("get_ticket", { ticket_id: ticket });
    took.push(performance.now() - begun);
  }
  return at(took, 0.99);
}

await chromium(async (page, context) => {
  console.log(`${"".padEnd(58)} ${"measured".padStart(26)}   budget`);
  for (const where of pages) {
    const [paints, answers] = [[], []];
    for (let times = 0; times < 7; times++) {
      await open(page, where);
      const [paint, answer] = await page.evaluate(async () => {
        const found = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
        while (found() === undefined) await new Promise((done) => setTimeout(done, 5));
        const navigation = performance.getEntriesByType("navigation")[0];
        return [found(), navigation.responseEnd - navigation.requestStart];
      });
      paints.push(paint);
      answers.push(answer);
    }
    const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
    for (let times = 0; times < 60; times++) {
      const begun = performance.now();
      await (await fetch(`${base}${where}`, { headers: { cookie } })).text();
      answers.push(performance.now() - begun);
    }
    line(`first paint of ${where}`, `${ms(at(paints, 0.5))} (most ${ms(at(paints, 1))})`, "<= 300 ms");
    line(`  the server's answer, p99`, ms(at(answers, 0.99)), "<= 50 ms");
  }

  // From the request whose commit makes the event until its row is in the document: the commit itself is in it.
  await open(page, "/events");
  await page.waitForSelector("#live[data-js-state=live]");
  await page.evaluate(() => {
    globalThis.appeared = new Map();
    const look = () => {
      for (const row of document.querySelectorAll("#events tr[id]")) if (!globalThis.appeared.has(row.id)) globalThis.appeared.set(row.id, Date.now());
    };
    look();
    new MutationObserver(look).observe(document.getElementById("main"), { childList: true, subtree: true });
  });
  const late = [];
  let { last_seq: last } = await call("list_events", { include_processed: true, limit: 1, consumer: "bench" });
  last = Number(await page.evaluate(() => document.querySelector("meta[name=seq]").getAttribute("content"))) || last;
  for (let times = 0; times < 30; times++) {
    const begun = Date.now();
    await call(times % 2 === 0 ? "pause" : "resume", { project });
    const { events } = await call("list_events", { include_processed: true, after: last, limit: 50, project, consumer: "bench" });
    last = events.at(-1)?.seq ?? last;
    const row = `event-${last}`;
    await page.waitForFunction((id) => globalThis.appeared.has(id), row, { timeout: 10_000 });
    late.push((await page.evaluate((id) => globalThis.appeared.get(id), row)) - begun);
    await new Promise((wait) => setTimeout(wait, 500));
  }
  line("an event on the screen after its commit, median", ms(at(late, 0.5)), "");
  line("  most of 30", ms(at(late, 1)), "<= 500 ms");

  // Twenty clients on the stream, and what a coordinator feels of it.
  await open(page, "/");
  const [quiet, small] = [await gets(300), resident()];
  const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const leave = new AbortController();
  const streams = await Promise.all(Array.from({ length: 20 }, () => fetch(`${base}/api/events`, { headers: { cookie, accept: "text/event-stream" }, signal: leave.signal })));
  for (const stream of streams) void (async () => { for await (const part of stream.body) void part; })().catch(() => {});
  const stirring = setInterval(() => void stir().catch(() => {}), 100);
  await new Promise((wait) => setTimeout(wait, 3000));
  line("get_ticket over MCP, p99, alone", ms(quiet), "");
  line(`  with ${streams.filter(({ ok }) => ok).length} clients on the stream and a page open`, ms(await gets(300)), `<= ${ms(2 * quiet)}`);
  line("  more memory of the server", `${(resident() - small).toFixed(1)} MB`, "<= 40 MB");
  clearInterval(stirring);
  leave.abort();

  // Watching for a long time: a transcript that is followed, and twenty events a second.
  await open(page, `/attempts/${attempt}`);
  await page.waitForSelector(".tr-canvas");
  const session = await context.newCDPSession(page);
  const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize / 1e6;
  };
  let [turn, made] = [0, 0];
  const writing = setInterval(() => {
    turn += 1;
    const says = { type: "assistant", parent_tool_use_id: null, message: { id: `m${turn}`, role: "assistant", content: [{ type: "tool_use", id: `c${turn}`, name: "Bash", input: { command: `cargo check --turn ${turn}` } }] } };
    const heard = { type: "user", parent_tool_use_id: null, message: { role: "user", content: [{ type: "tool_result", tool_use_id: `c${turn}`, content: "   Compiling something v0.1.0\n".repeat(40) }] } };
    fs.appendFileSync(file, `${JSON.stringify(says)}\n${JSON.stringify(heard)}\n`);
  }, 100);
  const stirs = setInterval(() => void stir().then(() => (made += 2), () => {}), 100);
  const [begun, seen] = [Date.now(), []];
  while (Date.now() - begun < Number(minutes) * 60_000) {
    await new Promise((wait) => setTimeout(wait, 15_000));
    const passed = (Date.now() - begun) / 60_000;
    const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
    seen.push([passed, await heap()]);
    console.log(`  after ${passed.toFixed(1)} min: heap ${seen.at(-1)[1].toFixed(1)} MB, ${nodes} elements, ${made} events, ${turn} calls written`);
  }
  clearInterval(writing);
  clearInterval(stirs);
  // The first two looks are from before everything was loaded once.
  const later = seen.slice(Math.min(2, seen.length - 2));
  const mean = (part) => later.reduce((sum, pair) => sum + pair[part], 0) / later.length;
  const slope = later.reduce((sum, [x, y]) => sum + (x - mean(0)) * (y - mean(1)), 0) / later.reduce((sum, [x]) => sum + (x - mean(0)) ** 2, 0);
  line("heap of the page at the end", `${seen.at(-1)[1].toFixed(1)} MB`, "");
  line("  its slope", `${(slope * 60).toFixed(1)} MB an hour`, "");
  line("  after an hour, if it goes on so", `${(seen.at(-1)[1] + Math.max(0, slope) * 60).toFixed(1)} MB`, "<= 150 MB");
}, { allow: [/429|503/] });
