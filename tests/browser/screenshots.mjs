// Pictures of pages, into OUT. PAGES has an address a line, with a name behind a space; WIDTHS and SCHEMES choose.
import path from "node:path";
import { chromium, open } from "./browser.mjs";

const { OUT: out = ".", WIDTHS: widths = "1440 1024 390", SCHEMES: schemes = "light dark" } = process.env;
const pages = (process.env.PAGES ?? "/ inbox").split("\n").filter(Boolean).map((one) => one.split(" "));

await chromium(async (page) => {
  for (const width of widths.split(" ").map(Number)) {
    await page.setViewportSize({ width, height: width < 500 ? 844 : 900 });
    for (const scheme of schemes.split(" ")) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      for (const [where, name] of pages) {
        await open(page, where);
        await page.waitForSelector("#live[data-js-state=live]").catch(() => {});
        if ((await page.locator("#transcript").count()) > 0) await page.waitForSelector(".tr-canvas .row").catch(() => {});
        await page.waitForTimeout(150);
        await page.screenshot({ path: path.join(out, `${name}-${width}-${scheme}.png`), fullPage: process.env.FULL === "1" });
      }
    }
  }
});
