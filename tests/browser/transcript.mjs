// A long transcript. ATTEMPT ended and has BYTES bytes, of which some calls failed; TICKET's text is in its first rows.
import assert from "node:assert/strict";
import { chromium, open, until } from "./browser.mjs";

const { ATTEMPT: attempt = "A-1" } = process.env;

/** What the scroller shows, and whether rows lie on each other or apart. */
const look = (page) =>
  page.evaluate(() => {
    const scroll = document.querySelector(".tr-scroll");
    const rows = [...document.querySelectorAll(".tr-canvas > .row")].map((row) => ({ id: row.id, ...row.getBoundingClientRect().toJSON() }));
    rows.sort((one, other) => one.top - other.top);
    const frame = scroll.getBoundingClientRect();
    const seen = rows.filter((row) => row.bottom > frame.top && row.top < frame.bottom);
    return {
      rows: rows.length, seen: seen.map(({ id }) => id), top: scroll.scrollTop,
      apart: seen.slice(1).filter((row, at) => Math.abs(row.top - seen[at].bottom) > 1.5).length,
      atEnd: scroll.scrollTop + scroll.clientHeight >= scroll.scrollHeight - 2,
    };
  });

await chromium(async (page) => {
  const begun = Date.now();
  await open(page, `/attempts/${attempt}`);
  await page.waitForSelector(".tr-canvas .row");
  console.log(`opened in ${Date.now() - begun} ms`);
  const settled = async (what, test = () => true) =>
    until(what, async () => {
      const now = await look(page);
      return now.apart === 0 && now.seen.length > 0 && test(now) ? now : false;
    });

  const last = await settled("the newest rows are shown", ({ atEnd }) => atEnd);
  assert.ok(last.rows < 200, `${last.rows} rows are in the document`);

  // What somebody reads stays where it is while rows above it are read.
  await page.locator(".tr-scroll").hover();
  for (let times = 0; times < 40; times++) {
    await page.mouse.wheel(0, -1500);
    const now = await settled("rows follow each other while one scrolls");
    assert.ok(now.rows < 200, `${now.rows} rows are in the document`);
  }
  assert.ok(!(await look(page)).atEnd);
  await page.locator(".tr-pill").waitFor();

  // Into the middle of nowhere, and to both ends.
  await page.evaluate(() => {
    const scroll = document.querySelector(".tr-scroll");
    scroll.scrollTop = scroll.scrollHeight / 2;
  });
  await settled("rows in the middle are shown");
  await page.keyboard.press("Home");
  await settled("the first row is shown", ({ seen, top }) => top === 0 && seen[0] === "tr-0");

  // From one failed call to the next, and back.
  const jump = async (key) => {
    const before = await page.evaluate(() => document.querySelector("[data-js-found]")?.id);
    await page.keyboard.press(key);
    return until(`${key} leads somewhere`, () => page.evaluate((old) => {
      const found = document.querySelector("[data-js-found]");
      return found !== null && found.id !== old ? found.id : false;
    }, before));
  };
  const first = await jump("e");
  assert.match(await page.locator("[data-js-found]").getAttribute("class"), /row-error/);
  const second = await jump("e");
  assert.notEqual(second, first);
  assert.equal(await jump("Shift+E"), first);
  await jump("f");
  await jump("t");

  // Long output is cut, and whole on request.
  await page.keyboard.press("End");
  await settled("the end is shown again", ({ atEnd }) => atEnd);
  assert.equal(await page.locator(".tr-pill").isHidden(), true);
  const heap = await page.evaluate(() => performance.memory?.usedJSHeapSize ?? 0);
  console.log(`heap ${Math.round(heap / 1e6)} MB`);
});
console.log("transcript");
