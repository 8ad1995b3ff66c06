// Texts of agents are inert wherever they are shown. PAGES shows texts that try to run, to hide, and to lead elsewhere.
import assert from "node:assert/strict";
import { chromium, open } from "./browser.mjs";

const pages = (process.env.PAGES ?? "/").split("\n").filter(Boolean);
/** What reorders, hides or rings: must be shown as what it is. */
const INVISIBLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/;

await chromium(async (page) => {
  await page.addInitScript(() => {
    // @ts-ignore: what the texts try to call.
    window.owned = [];
  });
  let shown = 0;
  for (const where of pages) {
    await open(page, where);
    if ((await page.locator("#transcript").count()) > 0) await page.waitForSelector(".tr-canvas .row");
    for (const more of await page.getByRole("button", { name: /^Show/ }).all()) await more.click({ timeout: 2000 }).catch(() => {});
    for (const summary of await page.locator(".main details:not([open]) > summary").all()) await summary.click({ timeout: 2000 }).catch(() => {});
    const found = await page.evaluate(() => ({
      // @ts-ignore
      owned: window.owned, text: document.body.innerText,
      scripts: [...document.scripts].map((script) => script.src),
      links: [...document.querySelectorAll("a, area")].map((link) => link.href).filter((href) => !href.startsWith(location.origin)),
      inline: [...document.querySelectorAll("*")].flatMap((element) => [...element.attributes].filter(({ name }) => name.startsWith("on")).map(({ name }) => `${element.localName}[${name}]`)),
      foreign: [...document.querySelectorAll("img, iframe, object, embed, base, form[action^='http'], .hostile :is(form, input, button[formaction], style, link, meta)")].map((element) => element.outerHTML.slice(0, 200)),
    }));
    assert.deepEqual(found.owned, [], where);
    assert.ok(found.scripts.every((src) => new URL(src).pathname.startsWith("/assets/")), `${where}: ${found.scripts}`);
    assert.deepEqual(found.inline, [], where);
    // As the server sent it, without what our scripts have placed.
    const styled = await page.evaluate(async () => {
      const sent = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
      return [...sent.querySelectorAll("[style], style")].map((element) => element.outerHTML.slice(0, 200));
    });
    assert.deepEqual(styled, [], where);
    assert.deepEqual(found.foreign, [], where);
    for (const href of found.links) assert.match(href, /^https?:/, where);
    const invisible = found.text.split("\n").find((line) => INVISIBLE.test(line.replaceAll("\t", "")));
    assert.equal(invisible, undefined, `${where}: ${JSON.stringify(invisible)}`);
    if (found.text.includes("U+202E")) shown += 1;
  }
  assert.ok(shown > 0, "the texts are on the pages at all, with what they hide made visible");
});
console.log(`${pages.length} pages`);
