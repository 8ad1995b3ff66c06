// Everything by the keyboard alone. TICKET waits with a question; there are more items in the inbox than that one.
import assert from "node:assert/strict";
import { base, call, chromium, focused, open, until } from "./browser.mjs";

const { TICKET: ticket = "T-1" } = process.env;

await chromium(async (page) => {
  await open(page, "/");
  const at = async (path) => {
    await until(`the page is ${path}`, async () => new URL(page.url()).pathname === path);
    await page.waitForLoadState();
    // Its scripts listen now.
    await page.locator(".tools button").first().waitFor();
  };

  // The first stop leads past the navigation.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");

  // Down, down, up; the last stays the last.
  const items = await page.locator("[data-list] [data-item]").evaluateAll((all) => all.map((item) => item.id));
  const hrefs = await page.locator("[data-list] [data-item]").evaluateAll((all) => all.map((item) => item.getAttribute("data-href")));
  assert.ok(items.length > 1, "there is more than one item");
  await page.keyboard.press("j");
  assert.equal(await focused(page), items[0]);
  await page.keyboard.press("j");
  assert.equal(await focused(page), items[1]);
  await page.keyboard.press("k");
  assert.equal(await focused(page), items[0]);
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none", "focus is to be seen");
  for (let times = 0; times < items.length + 3; times++) await page.keyboard.press("j");
  assert.equal(await focused(page), items.at(-1));

  // What opens, and the way back.
  await page.keyboard.press("Enter");
  await at(hrefs.at(-1));
  await page.goBack();
  await at("/");

  // Pages by two keys, and a key that is none of them does nothing.
  for (const [key, path] of [["b", "/board"], ["t", "/tickets"], ["w", "/workers"], ["q", "/queues"], ["e", "/events"], ["u", "/usage"], ["f", "/failures"], ["p", "/projects"], ["s", "/settings"], ["i", "/"]]) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await at(path);
  }

  // No key is taken from somebody who types.
  await page.keyboard.press("/");
  await page.keyboard.type("g b j k ? x");
  assert.equal(await page.locator("#find input").inputValue(), "g b j k ? x");
  assert.equal(new URL(page.url()).pathname, "/");
  await page.keyboard.press("Escape");

  // The list of keys opens, takes focus, and gives it back.
  await page.keyboard.press("j");
  const before = await focused(page);
  await page.keyboard.press("?");
  await page.waitForSelector("#keys[open]");
  await page.keyboard.press("Escape");
  await until("the list is gone", async () => (await page.locator("#keys").count()) === 0);
  assert.equal(await focused(page), before);

  // The palette finds pages and tickets.
  await page.keyboard.press("Control+k");
  await page.keyboard.type("board");
  await page.keyboard.press("Enter");
  await at("/board");
  await page.keyboard.press("Control+k");
  await page.keyboard.type(ticket);
  await until("the ticket is found", () => page.locator("#palette .palette-option", { hasText: ticket }).count());
  await page.keyboard.press("Enter");
  await at(`/tickets/${ticket}`);

  // The question is answered without the pointer.
  await open(page, "/");
  for (let times = 0; times <= hrefs.indexOf(`/tickets/${ticket}`); times++) await page.keyboard.press("j");
  assert.equal(await focused(page), items[hrefs.indexOf(`/tickets/${ticket}`)]);
  await page.keyboard.press("r");
  await page.keyboard.type("Blue, as always.");
  await page.keyboard.press("Control+Enter");
  await until("the ticket goes on", async () => (await call("get_ticket", { ticket_id: ticket })).state !== "on_hold");
  const { comments } = await call("get_ticket", { ticket_id: ticket });
  assert.ok(comments.some(({ content }) => content.includes("Blue, as always.")), "the answer has arrived");
  await until("its item is gone", async () => (await page.locator(`#inbox [data-href="/tickets/${ticket}"]`).count()) === 0);
  assert.ok(page.url().startsWith(base), "nobody has left the page");
});
console.log("keyboard");
