// Wires a page: its stream, its forms, its clocks.
import { keepTime } from "./clock.js";
import { copyOnClick } from "./copy.js";
import { sendForms } from "./forms.js";
import { append, followLog } from "./narration.js";
import { refresh, refreshOn, refreshRegularly } from "./refresh.js";
import { follow } from "./stream.js";
import { swap } from "./swap.js";

const QUIET = 1500; // milliseconds a lost stream may take to come back before the page says so
const since = document.body.dataset.since;

function take({ type, id, html }) {
  if (type === "resync") return refresh();
  if (id !== null && id <= Number(since)) return undefined;
  if (type === "line" || type === "log") return append(html);
  swap(html.replace(/<li [^]*$/, ""));
  if (type === "end") append(html);
  if (type === "hive" || type === "progress") return type === "hive" && refreshOn("hive");
  for (const [, job] of html.matchAll(/<article id="(job-\w+)"/g)) refreshOn(job);
  return type === "end" && refreshOn("ended");
}

let mark = null;
let lost = false;
function show(state) {
  const connection = document.getElementById("connection");
  if (state === "live") {
    clearTimeout(mark);
    mark = null;
    connection.hidden = true;
    if (lost) refresh();
    lost = false;
    return;
  }
  lost = true;
  mark ??= setTimeout(() => { connection.hidden = false; }, QUIET);
  if (state === "closed") refresh();
}

keepTime();
copyOnClick();
sendForms();
followLog();
if (since !== undefined) {
  const stream = follow(Number(since), take, show);
  refreshRegularly();
  addEventListener("online", () => stream.check());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) stream.check(); });
}
