// A page's end of the stream: through the shared worker, or on its own where there is none.
import { StreamSource } from "./stream_source.js";

export function follow(since, onFrame, onState) {
  const worker = sharedWorker();
  if (!worker) {
    const source = new StreamSource(onFrame, onState);
    source.start(since);
    return { check: () => source.check() };
  }
  const { port } = worker;
  let seen = since;
  port.onmessage = ({ data }) => {
    if (data.state) onState(data.state);
    if (!data.frame) return;
    seen = Math.max(seen, data.frame.id ?? 0);
    onFrame(data.frame);
  };
  port.postMessage({ hello: since });
  addEventListener("pagehide", () => port.postMessage({ bye: true }));
  addEventListener("pageshow", (event) => { if (event.persisted) port.postMessage({ hello: seen }); });
  return { check: () => port.postMessage({ check: true }) };
}

function sharedWorker() {
  try {
    return new SharedWorker(document.body.dataset.worker, { type: "module", name: "rbee" });
  } catch {
    return null;
  }
}
