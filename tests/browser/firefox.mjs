// Each page in Firefox, over WebDriver BiDi: it renders, its scripts run, and nothing is said in the console.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { base, require, until } from "./browser.mjs";

const puppeteer = require("puppeteer-core");
const pages = (process.env.PAGES ?? "/").split("\n").filter(Boolean);
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "ve-browser-"));
const browser = await puppeteer.launch({
  browser: "firefox", executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr", headless: true, userDataDir: directory,
  extraPrefsFirefox: { "app.update.enabled": false, "datareporting.policy.dataSubmissionEnabled": false, "network.captive-portal-service.enabled": false, "network.connectivity-service.enabled": false },
});
try {
  const page = await browser.newPage();
  const wrong = [];
  page.on("console", (message) => ["error", "warn"].includes(message.type()) && wrong.push(`${page.url()}: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error}`));
  await page.setViewport({ width: 1280, height: 800 });
  // The page of the link leads on by itself.
  if (process.env.LINK) await page.goto(process.env.LINK).then(() => until("there is a session", () => page.$(".tools button")));
  for (const where of pages) {
    const answer = await page.goto(`${base}${where}`);
    assert.equal(answer?.status(), 200, where);
    await until(`the scripts of ${where} run`, () => page.$(".tools button"));
    await until(`${where} is live`, () => page.$("#live[data-js-state=live]"));
    // What printed nothing has no rows.
    if ((await page.$('#transcript:not([data-bytes="0"])')) !== null) await until("rows are drawn", () => page.$(".tr-canvas .row"));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.equal(wide, false, `${where} is wider than the window`);
  }
  // The palette, and colours, as the sign that modules, dialogs and custom properties do what they do in Chromium.
  await page.keyboard.down("Control");
  await page.keyboard.press("k");
  await page.keyboard.up("Control");
  await until("the palette opens", () => page.$("#palette[open]"));
  await page.keyboard.press("Escape");
  assert.deepEqual(wrong, []);
} finally {
  await browser.close();
  fs.rmSync(directory, { recursive: true, force: true });
}
console.log(`${pages.length} pages`);
