// A read-only session sees everything and changes nothing: LINK is of `dashboard --read-only`. TICKET is on hold.
import assert from "node:assert/strict";
import { call, chromium, open } from "./browser.mjs";

const pages = (process.env.PAGES ?? "/").split("\n").filter(Boolean);
const { TICKET: ticket = "T-1" } = process.env;

await chromium(
  async (page) => {
    for (const where of pages) {
      await open(page, where);
      assert.equal(await page.evaluate(() => document.documentElement.dataset.role), "read-only", where);
      const able = await page.locator("form[action^='/do/'] :is(button:not([type=button]), input[type=submit]):enabled").evaluateAll((all) => all.map((button) => button.textContent));
      assert.deepEqual(able, [], where);
    }
    // The pages only say so; what counts is that the server refuses, whatever a page sends.
    const status = await page.evaluate(async (id) => {
      const csrf = document.querySelector("meta[name=csrf]")?.getAttribute("content") ?? "";
      const body = new URLSearchParams({ csrf, back: "/", ticket_id: id });
      const answer = await fetch("/do/resume_ticket", { method: "POST", body, headers: { "Accept": "application/json", "X-CSRF": csrf } });
      return answer.status;
    }, ticket);
    assert.equal(status, 403);
    assert.equal((await call("get_ticket", { ticket_id: ticket })).state, "on_hold");
  },
  { allow: [/403/] },
);
console.log(`${pages.length} pages, read-only`);
