// The shared worker: holds the one connection for all tabs of a browser.
import { Hub } from "./hub-core.js";

const hub = new Hub();

/** @type {{ onconnect: ((event: MessageEvent) => void) | null }} */ (/** @type {unknown} */ (self)).onconnect = (event) => {
  const port = event.ports[0];
  if (port === undefined) return;
  /** @type {import("./hub-core.js").Tab} */
  const tab = { visible: false, missed: new Set(), send: (said) => port.postMessage(said) };
  port.onmessage = ({ data }) => {
    if (data.what === "hello") {
      tab.visible = data.visible;
      hub.add(tab, data.seq);
      // A tab holds a lock of its own as long as it lives: one that crashed cannot say so.
      void navigator.locks.request(data.lock, () => hub.remove(tab));
    } else if (data.what === "visible") hub.show(tab, data.visible);
    else if (data.what === "bye") hub.remove(tab);
  };
};
