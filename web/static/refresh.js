// Fetches this page again and takes over its regions: after a gap in the stream, and for what is not pushed.
import { morph } from "./morph.js";
import { tell } from "./clock.js";

const PAUSE = 400; // milliseconds in which several wishes become one
let waiting = null;

export function refresh() {
  waiting ??= setTimeout(() => { waiting = null; fetchRegions(); }, PAUSE);
}

export function refreshOn(word) {
  if (document.querySelector(`[data-refresh-on~="${word}"]`)) refresh();
}

export function refreshRegularly() {
  const marked = document.querySelector("[data-refresh-every]");
  if (!marked) return;
  setInterval(() => { if (!document.hidden) refresh(); }, Number(marked.dataset.refreshEvery) * 1000);
}

async function fetchRegions() {
  let answer;
  try {
    answer = await fetch(document.body.dataset.url || location.href);
  } catch {
    return; // the stream says when the queen is back
  }
  if (answer.redirected && new URL(answer.url).pathname === "/login") location.reload();
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-region]")) {
    const other = fresh.getElementById(region.id);
    if (other) morph(region, other);
  }
  tell(document);
}
