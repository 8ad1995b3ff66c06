// What every page loads. Pages work without it; it makes them live, quicker and ready for the keyboard.
import * as actions from "./actions.js";
import * as clamps from "./clamps.js";
import * as frame from "./frame.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as times from "./times.js";
import * as tips from "./tips.js";

const page = document.documentElement.dataset["page"];

times.start();
if (page !== "locked") {
  keys.start();
  actions.start();
  frame.start();
  tips.start();
  clamps.start();
  live.start();
  if (document.getElementById("filters") !== null || document.getElementById("bulk") !== null) void import("./tickets.js").then((part) => part.start());
  if (document.getElementById("diff") !== null) void import("./differences.js").then((part) => part.start());
  // A ticket that begins to run while one looks at it gets its transcript then.
  const transcript = () => document.getElementById("transcript") !== null && void import("./transcript.js").then((part) => part.start());
  document.addEventListener("ve:updated", transcript);
  transcript();
}
