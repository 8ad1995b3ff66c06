// Whatever a person can do, done with buttons and forms. DIRECTORY is one in which a project may be made; nothing is there
// before, and no agent starts by itself.
import assert from "node:assert/strict";
import { call, chromium, open, until } from "./browser.mjs";

const { DIRECTORY: directory = "/tmp" } = process.env;

await chromium(async (page) => {
  const press = (action, where = "") => page.locator(`${where} form[action="/do/${action}"] button:not([type=button])`).first();
  const said = (text) => until(`the page says "${text}"`, () => page.locator(".toast", { hasText: text }).count());
  const clear = async () => {
    for (const button of await page.locator(".toast [aria-label=Dismiss]").all()) await button.click().catch(() => {});
  };
  const fill = async (values) => {
    for (const [name, value] of Object.entries(values)) {
      const field = page.locator(`form.fields [name="${name}"]`).first();
      const folded = page.locator("form.fields details:not([open])", { has: page.locator(`[name="${name}"]`) });
      if ((await folded.count()) > 0) await folded.first().locator("summary").click();
      const kind = await field.evaluate((element) => `${element.localName} ${element.type}`);
      if (kind.startsWith("select")) await field.selectOption(value);
      else if (kind.endsWith("checkbox")) await field.setChecked(value === "true");
      else await field.fill(value);
    }
  };
  const send = () => page.locator("form.fields button:not([type=button])").last().click();
  const at = async (path) => {
    await until(`the page is ${path}`, async () => new URL(page.url()).pathname === path);
    await page.waitForLoadState();
  };

  // An empty server says what to do next; the form refuses beside the field, and keeps what was typed.
  await open(page, "/projects");
  await page.locator(".empty a.btn-primary").click();
  await at("/new/project");
  await fill({ name: "shop", path: "/nowhere/at/all", description: "Made by hand" });
  await send();
  await until("it is refused", () => page.locator(".error:not(:empty), .toast-bad").count());
  assert.equal(await page.locator("form.fields [name=description]").inputValue(), "Made by hand");
  await clear();
  await fill({ path: directory });
  await send();
  await at("/projects/shop");
  const project = await call("get_project", { project: "shop" });
  assert.equal(project.description, "Made by hand");

  // A worker type and a ticket.
  await open(page, "/new/worker-type?project=shop");
  await fill({ worker_type: "build", system_prompt: "You build.", auto_spawn: "false" });
  await send();
  await at("/projects/shop");
  assert.equal((await call("get_worker_type", { project: "shop", worker_type: "build" })).auto_spawn, false);
  const tickets = [];
  for (const title of ["One", "Two", "Three"]) {
    await open(page, "/new/ticket?project=shop");
    await fill({ title, execution_plan: "build", description: `The work of ${title}` });
    await send();
    await until("the ticket is shown", async () => /^\/tickets\/T-\d+$/.test(new URL(page.url()).pathname));
    tickets.push(new URL(page.url()).pathname.split("/").pop());
  }
  const [one, two, three] = tickets;
  const state = async (id) => (await call("get_ticket", { ticket_id: id })).state;
  const becomes = (id, wanted) => until(`${id} is ${wanted}`, async () => (await state(id)) === wanted);

  // A comment; what was typed is gone once it is said.
  await open(page, `/tickets/${one}`);
  await page.locator('form[action="/do/add_ticket_comment"] textarea').fill("Mind the **tests**.");
  await press("add_ticket_comment").click();
  await until("the comment is on the page", () => page.locator("#comments", { hasText: "Mind the tests." }).count());
  assert.equal(await page.locator('form[action="/do/add_ticket_comment"] textarea').inputValue(), "");

  // A change; the form knows what was there.
  await open(page, `/edit/ticket/${one}`);
  assert.equal(await page.locator("form.fields [name=title]").inputValue(), "One");
  await fill({ title: "One, better", priority: "urgent" });
  await send();
  await at(`/tickets/${one}`);
  const changed = await call("get_ticket", { ticket_id: one });
  assert.deepEqual([changed.title, changed.priority, changed.description], ["One, better", "urgent", "The work of One"]);

  // Stopped, and resumed from the inbox.
  await press("stop", "#actions").click();
  await becomes(one, "on_hold");
  await open(page, "/");
  await press("resume_ticket", `[data-href="/tickets/${one}"]`).click();
  await becomes(one, "queued");
  await until("the inbox is empty", () => page.locator("#inbox .empty").count());
  await clear();

  // Completed by hand, out of the menu.
  await open(page, `/tickets/${one}`);
  await page.locator("#actions details.menu > summary").click();
  const completes = page.locator('#actions form[action="/do/complete_ticket_stage"]').first();
  await completes.locator("textarea").fill("Done by hand.");
  await completes.locator("button").click();
  await becomes(one, "closed");
  await until("the page shows it", () => page.locator("#state .state-completed").count());

  // Closing asks first. Escape means no.
  await open(page, `/tickets/${two}`);
  await page.locator("#actions details.menu > summary").click();
  await press("close_ticket", "#actions").click();
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await until("the question is gone", async () => (await page.locator("dialog[open]").count()) === 0);
  assert.equal(await state(two), "queued");
  await page.locator("#actions details.menu[open] > summary").or(page.locator("#actions details.menu > summary")).first().click();
  if (!(await press("close_ticket", "#actions").isVisible())) await page.locator("#actions details.menu > summary").click();
  await press("close_ticket", "#actions").click();
  await page.locator("dialog[open] .btn-danger").click();
  await becomes(two, "closed");

  // A queue, and everything.
  await open(page, "/queues");
  await press("pause", "#queues").click();
  await until("the queue is paused", async () => (await call("get_queue_status", { project: "shop", worker_type: "build" })).paused);
  await until("the button turns", () => press("resume", "#queues").isVisible());
  await press("resume", "#queues").click();
  await until("the queue goes on", async () => !(await call("get_queue_status", { project: "shop", worker_type: "build" })).paused);
  await press("pause", "#pause-all").click();
  await until("everything is paused", () => press("resume", "#pause-all").isVisible());
  await open(page, "/");
  await press("resume", "#pause-all").click();
  await until("everything goes on", () => press("pause", "#pause-all").isVisible());
  await clear();

  // Many at once: a dry run changes nothing, then it is carried out, and what is refused is said.
  const many = [];
  for (let number = 0; number < 30; number++) many.push((await call("create_ticket", { project: "shop", title: `Many ${number}`, execution_plan: ["build"] })).ticket_id);
  await open(page, "/tickets?state=queued");
  assert.ok(await page.locator("#bulk button[name=dry]").isDisabled(), "nothing is selected");
  await page.locator(`#row-${many[0]} input[type=checkbox]`).click();
  await page.locator(`#row-${many[4]} input[type=checkbox]`).click({ modifiers: ["Shift"] });
  await until("five are selected", async () => (await page.locator("#chosen").textContent())?.startsWith("5 "));
  await page.locator("#bulk [name=all]").check();
  await page.locator("#bulk [name=act]").selectOption("hold");
  await page.locator("#bulk button[name=dry]").click();
  await page.locator("dialog[open]", { hasText: "31" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await state(many[0]), "queued");
  await page.locator("#bulk .btn-primary").click();
  if ((await page.locator("dialog[open] .btn-danger").count()) > 0) await page.locator("dialog[open] .btn-danger").click();
  await said("31 of 31 done");
  for (const id of [many[0], many[29], three]) await becomes(id, "on_hold");
  await clear();

  // Who did it is in the log; the project goes with all its tickets, after a question.
  await open(page, "/events");
  await until("the log says who", () => page.locator("#events", { hasText: "dashboard" }).count());
  await open(page, "/projects/shop");
  await page.locator(".page-actions details.menu > summary").click();
  await page.locator('.page-actions form[action="/do/delete_project"] button').last().click();
  await page.locator("dialog[open] .btn-danger").click();
  await until("the project is gone", async () => (await call("list_projects", {})).projects.length === 0);
}, { allow: [/422/, /404/] });
console.log("actions");
