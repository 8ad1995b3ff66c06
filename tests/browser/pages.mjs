// Every page, whatever is in it: it renders, says nothing in the console, asks nobody else, has no violation of WCAG, and
// fits a screen of 320 pixels. PAGES is a list of addresses, one a line.
import assert from "node:assert/strict";
import { chromium, open, overflow, violations } from "./browser.mjs";

const pages = (process.env.PAGES ?? "/").split("\n").filter(Boolean);
const WIDTHS = [1440, 1024, 390, 320];

await chromium(async (page) => {
  const wrong = [];
  for (const where of pages) {
    const answer = await open(page, where);
    assert.equal(answer.status(), 200, where);
    assert.match(await page.title(), /Vibe-Ensemble/, where);
    assert.equal(await page.locator("h1").count(), 1, `${where} has one heading`);
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const line of await violations(page)) wrong.push(`${where}, ${scheme}: ${line}`);
    }
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 800 });
      const out = await overflow(page);
      if (out.length > 0) wrong.push(`${where} is wider than ${width} pixels: ${out.join(", ")}`);
    }
    await page.setViewportSize({ width: 390, height: 800 });
    for (const line of await violations(page)) wrong.push(`${where}, phone: ${line}`);
    await page.setViewportSize({ width: 1440, height: 900 });
  }
  // What floats above a page.
  for (const [key, id] of [["Control+k", "palette"], ["?", "keys"]]) {
    await page.keyboard.press(key);
    await page.locator(`#${id}[open]`).waitFor();
    for (const line of await violations(page)) wrong.push(`${id}: ${line}`);
    await page.keyboard.press("Escape");
  }
  assert.deepEqual(wrong, []);
});
console.log(`${pages.length} pages`);
