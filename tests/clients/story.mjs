// What a coordinator does, through the official TypeScript SDK; every structured answer is checked against its schema.
//
// node story.mjs SDK ERA: SDK is a directory with `node_modules`, ERA is `legacy` (an `initialize` handshake) or `auto`
// (revision 2026-07-28 when the server speaks it). URL, TOKEN and PROJECT_DIR come from the environment.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [sdk, era] = process.argv.slice(2);
const { URL: address, TOKEN: token, PROJECT_DIR: directory } = process.env;
const require = createRequire(path.resolve(sdk, "package.json"));

function generation() {
  try {
    // Since the revision of 2026-07-28 the SDK is one package for each side.
    return { modern: true, ...require("@modelcontextprotocol/client") };
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    return {
      modern: false,
      ...require("@modelcontextprotocol/sdk/client/index.js"),
      ...require("@modelcontextprotocol/sdk/client/streamableHttp.js"),
    };
  }
}

const { modern, Client, StreamableHTTPClientTransport } = generation();
const Ajv = require("ajv/dist/2020").default;

const options = modern ? { versionNegotiation: { mode: era } } : {};
const client = new Client({ name: "story", version: "0" }, options);
const requestInit = { headers: { Authorization: `Bearer ${token}` } };
await client.connect(new StreamableHTTPClientTransport(new URL(address), { requestInit }));

const server = client.getServerVersion();
assert.equal(server.name, "vibe-ensemble");
assert.match(server.version, /^\d+\.\d+\.\d+/);
assert.match(server.icons[0].src, /^data:image\/svg\+xml/);
const instructions = client.getInstructions();
assert.ok(instructions.includes("list_events") && Buffer.byteLength(instructions) <= 2048);

const { tools } = await client.listTools();
assert.deepEqual((await client.listTools()).tools.map((t) => t.name), tools.map((t) => t.name), "the order is fixed");
const ajv = new Ajv({ strict: false });
const checks = new Map(tools.map((tool) => [tool.name, ajv.compile(tool.outputSchema)]));
const called = new Set();

async function call(name, args = {}, callOptions = undefined) {
  const params = { name, arguments: args };
  const result = modern
    ? await client.callTool(params, callOptions)
    : await client.callTool(params, undefined, callOptions);
  assert.ok(!result.isError, `${name}: ${JSON.stringify(result.content)}`);
  const check = checks.get(name);
  assert.ok(check(result.structuredContent), `${name}: ${JSON.stringify(check.errors)}`);
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent, name);
  called.add(name);
  return result.structuredContent;
}

const project = `ts-${modern ? "modern" : "old"}-${era}`;
const kind = { project, worker_type: "build" };
await call("create_project", { name: project, path: directory });
await call("create_worker_type", { ...kind, system_prompt: "You build.", auto_spawn: false });
const { ticket_id } = await call("create_ticket", { project, title: "Table", execution_plan: ["build"] });
await call("add_ticket_comment", { ticket_id, content: "Four legs." });
for (const [name, args] of [
  ["get_project", { project }],
  ["list_projects"],
  ["update_project", { project, rules: "Never push." }],
  ["get_worker_type", kind],
  ["list_worker_types", { project }],
  ["list_worker_templates", { template: "planning" }],
  ["update_worker_type", { ...kind, max_workers: 2 }],
  ["list_workers"],
  ["list_queues"],
  ["get_queue_status", kind],
  ["get_ticket", { ticket_id }],
  ["list_tickets", { project }],
  ["update_ticket", { ticket_id, priority: "high", max_budget_usd: 2.5 }],
  ["pause", { ...kind, reason: "The wood is wet." }],
  ["resume", kind],
  ["get_usage", { group_by: "worker_type", project }],
]) {
  await call(name, args);
}

// A call that waits: it says so at once, and an event answers it.
const { last_seq } = await call("list_events", { project });
const told = [];
let begun;
const waits = new Promise((resolve) => (begun = resolve));
const onprogress = (progress) => (told.push(progress), begun());
const waiting = call("list_events", { project, after: last_seq, wait_seconds: 600 }, { onprogress, timeout: 60_000 });
await waits;
await call("complete_ticket_stage", { ticket_id, stage: "build", outcome: "blocked", report: "r", question: "Colour?" });
const { events } = await waiting;
assert.equal(events[0].ticket_id, ticket_id);
assert.equal(told[0].total, 600);
await call("mark_events_processed", { event_seqs: [events[0].seq] });

const refused = await client.callTool({ name: "get_ticket", arguments: { ticket_id: "T-999999" } });
assert.ok(refused.isError && refused.content[0].text.includes("list_tickets"), JSON.stringify(refused));

const { resources } = await client.listResources();
const uris = resources.map((resource) => resource.uri);
for (const uri of ["events://", `project://${project}`, `ticket://${ticket_id}`]) {
  assert.ok(uris.includes(uri), `${uri} is not in ${uris}`);
  const { contents } = await client.readResource({ uri });
  assert.equal(typeof JSON.parse(contents[0].text), "object");
}
assert.equal((await client.listResourceTemplates()).resourceTemplates.length, 3);
await assert.rejects(client.readResource({ uri: "ticket://T-999999" }), /T-999999/);

const { prompts } = await client.listPrompts();
assert.deepEqual(prompts.map((p) => p.name), ["plan", "unblock", "report"]);
const { messages } = await client.getPrompt({ name: "unblock", arguments: { project } });
assert.ok(messages[0].content.text.includes("Colour?"), messages[0].content.text);

await call("list_inbox", { project });
await call("list_notifiers", {});
await call("test_notifier", { notifier: "phone" });
await call("resume_notifier", { notifier: "phone" });
await call("resume_ticket", { ticket_id, comment: "Red." });
await call("stop", { ticket_id });
await call("delete_queue", kind);
await call("update_project", { project, gates: [{ name: "test", command: ["true"] }] });
await call("waive_gate", { ticket_id, gate: "test", reason: "Not today." });
await call("run_gates", { ticket_id });
await call("close_ticket", { ticket_id });
const { workers } = await call("spawn_worker", kind);
const worker = { worker_id: workers[0].worker_id };
await call("get_worker_status", worker);
await call("stop_worker", { ...worker, mode: "kill" });
await call("delete_worker_type", { ...kind, force: true });
await call("delete_project", { project, force: true });
await client.close();
const missing = [...checks.keys()].filter((name) => !called.has(name));
assert.deepEqual(missing, [], "never called");
console.log(`${project}: all ${tools.length} tools answered as their schemas say`);
