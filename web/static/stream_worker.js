// Holds the one stream of this browser and relays it to all pages.
import { StreamSource } from "./stream_source.js";

const KEPT = 500; // frames, for pages that were rendered a moment ago
const ports = new Set();
let frames = [];
let from = 0; // the kept frames are complete above this id
let state = "reconnecting";
let started = false;

const tellAll = (message) => { for (const port of ports) port.postMessage(message); };

const source = new StreamSource(
  (frame) => {
    if (frame.type === "resync") { frames = []; from = source.last; }
    if (frame.id !== null) {
      frames.push(frame);
      if (frames.length > KEPT) from = frames.shift().id;
    }
    tellAll({ frame });
  },
  (now) => { state = now; tellAll({ state }); },
);

function greet(port, since) {
  ports.add(port);
  if (!started) {
    started = true;
    from = since;
    source.start(since);
    return;
  }
  port.postMessage({ state });
  if (since < from) port.postMessage({ frame: { type: "resync", id: null, html: "" } });
  else for (const frame of frames) if (frame.id > since) port.postMessage({ frame });
}

onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = ({ data }) => {
    if (data.hello !== undefined) greet(port, data.hello);
    if (data.check) source.check();
    if (data.bye) ports.delete(port);
  };
};
