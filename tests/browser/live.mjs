// A page shows what happens elsewhere, without a reload and without disturbing whoever uses it. PROJECT has a worker type
// `build` that nobody starts; TICKET waits with a question.
import assert from "node:assert/strict";
import { call, chromium, open, until } from "./browser.mjs";

const { PROJECT: project = "shop", TICKET: ticket = "T-1" } = process.env;
const make = async (title) => (await call("create_ticket", { project, title, execution_plan: ["build"] })).ticket_id;
const ask = async (id, question) => call("complete_ticket_stage", { ticket_id: id, stage: "build", outcome: "blocked", report: "It depends.", question });

await chromium(async (page, context) => {
  let loads = 0;
  page.on("load", () => (loads += 1));
  await open(page, "/");
  loads = 0;
  await until("the connection is up", () => page.locator("#live[data-js-state=live]").count());

  // Somebody writes an answer, and scrolls, while the next question comes.
  const field = page.locator(`#inbox [data-href="/tickets/${ticket}"] textarea`).first();
  await field.click();
  await page.keyboard.type("Half an ans");
  const second = await make("Another piece of work");
  await ask(second, "Red or green?");
  await until("the second question is on the page", () => page.locator(`#inbox [data-href="/tickets/${second}"]`).count());
  assert.equal(await field.inputValue(), "Half an ans");
  await page.keyboard.type("wer");
  assert.equal(await field.inputValue(), "Half an answer", "focus and caret are where they were");

  // What another person settles meanwhile does not take the text away.
  await call("resume_ticket", { ticket_id: ticket, comment: "Settled elsewhere." });
  await until("the page says that it is settled", () => page.locator("[data-js-gone] .gone-note").count());
  assert.equal(await page.locator("[data-js-gone] textarea").first().inputValue(), "Half an answer");
  await page.locator("[data-js-gone] textarea").first().fill("");

  // Another tab, on another page, shares the connection.
  const board = await context.newPage();
  const streams = [];
  for (const one of [page, board]) one.on("request", (request) => request.url().includes("/api/events") && streams.push(request.url()));
  await open(board, "/board");
  await until("the second tab is live", () => board.locator("#live[data-js-state=live]").count());
  assert.deepEqual(streams, [], "no tab opens a connection of its own");
  const third = await make("A third piece of work");
  await until("its card is on the board", () => board.locator(`#card-${third}`).count());

  // A hidden page asks nothing, and is right again as soon as it is shown.
  const hide = (hidden) =>
    board.evaluate((value) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => value });
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (value ? "hidden" : "visible") });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  let asked = 0;
  board.on("request", () => (asked += 1));
  const fourth = await make("A fourth piece of work");
  await ask(fourth, "Now?");
  await until("the page that is shown has it", () => page.locator(`#inbox [data-href="/tickets/${fourth}"]`).count());
  assert.equal(asked, 0, "a hidden page is silent");
  await hide(false);
  await until("the page that was hidden has it", () => board.locator(`#card-${fourth}`).count());
  assert.equal(loads, 0, "nothing was reloaded");
});
console.log("live");
