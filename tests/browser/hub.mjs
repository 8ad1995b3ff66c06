// The one connection for all tabs, without a browser: what it tells whom, and when it connects.
import assert from "node:assert/strict";
import { Hub } from "../../server/src/web/assets/hub-core.js";

/** A server whose streams the test writes; `asked` has the address of each. */
function server() {
  const asked = [];
  const open = [];
  globalThis.fetch = async (address, { signal }) => {
    asked.push(address);
    const stream = new TransformStream();
    const writer = stream.writable.getWriter();
    signal.addEventListener("abort", () => void writer.abort(signal.reason).catch(() => {}));
    const encoder = new TextEncoder();
    open.push({ say: (text) => writer.write(encoder.encode(text)), end: () => writer.close(), signal });
    return { ok: true, status: 200, headers: new Headers(), body: stream.readable };
  };
  return { asked, open };
}

const tab = (visible = true) => {
  const heard = [];
  return { visible, missed: new Set(), send: (said) => heard.push(said), heard };
};
const soon = (ms = 120) => new Promise((done) => setTimeout(done, ms));
const change = (seq, ...topics) => `id: ${seq}\nevent: change\ndata: ${JSON.stringify({ seq, topics })}\n\n`;
const of = ({ heard }, what) => heard.filter((said) => said.what === what);

// Two tabs, one connection, which begins where the first page ends; a burst is one message.
{
  const { asked, open } = server();
  const [one, other] = [tab(), tab()];
  const hub = new Hub();
  hub.add(one, 7);
  hub.add(other, 7);
  await soon();
  assert.deepEqual(asked, ["/api/events?after=7"]);
  await open[0].say(change(8, "tickets", "ticket:T-1") + change(9, "tickets"));
  // A message that comes in two pieces is one message.
  const [half, rest] = [change(10, "inbox").slice(0, 15), change(10, "inbox").slice(15)];
  await open[0].say(half);
  await open[0].say(rest);
  await soon();
  for (const each of [one, other]) {
    assert.deepEqual(of(each, "changes").flatMap(({ topics }) => topics).sort(), ["inbox", "ticket:T-1", "tickets"]);
    assert.equal(of(each, "changes").length, 1);
  }
  // A page that is older than what was passed on looks again.
  const late = tab();
  hub.add(late, 8);
  assert.deepEqual(of(late, "changes").map(({ topics }) => topics), [["*"]]);

  // A gap is told to everybody, and its number counts, also a lower one.
  await open[0].say(`id: 3\nevent: gap\ndata: {"seq":3}\n\n`);
  await soon();
  assert.equal(of(one, "gap").length, 1);
  assert.equal(hub.seq, 3);
  for (const each of [one, other, late]) hub.remove(each);
  await soon();
  assert.ok(open[0].signal.aborted, "nobody is there, nothing is connected");
}

// A hidden tab hears nothing, and all of it when it is shown.
{
  const { open } = server();
  const [shown, hidden] = [tab(), tab(false)];
  const hub = new Hub();
  hub.add(shown, 1);
  hub.add(hidden, 1);
  await soon();
  await open[0].say(change(2, "tickets"));
  await soon();
  assert.equal(of(hidden, "changes").length, 0);
  hub.show(hidden, true);
  assert.deepEqual(of(hidden, "changes").map(({ topics }) => topics), [["tickets"]]);
  hub.remove(shown);
  hub.remove(hidden);
}

// A connection that breaks is made again from the newest event on.
{
  const { asked, open } = server();
  const one = tab();
  const hub = new Hub();
  hub.add(one, 1);
  await soon();
  await open[0].say(change(5, "tickets"));
  await soon();
  await open[0].end();
  while (asked.length < 2 || of(one, "state").at(-1)?.state !== "live") await soon(20);
  assert.deepEqual(asked, ["/api/events?after=1", "/api/events?after=5"]);
  assert.deepEqual(of(one, "state").map(({ state }) => state), ["connecting", "live", "reconnecting", "live"]);
  hub.remove(one);
}

// Where there is no session any more, the page is told.
{
  globalThis.fetch = async () => ({ ok: false, status: 401, headers: new Headers(), body: null });
  const one = tab();
  const hub = new Hub();
  hub.add(one, 1);
  await soon();
  assert.equal(of(one, "locked").length, 1);
  hub.remove(one);
}
console.log("hub");
