// The log of a job: takes each line once, follows while its reader is at the bottom.
import { merge } from "./morph.js";
import { tell } from "./clock.js";

const SHOWN = 3000; // lines kept on the page
const NEAR = 24; // pixels from the bottom that still count as the bottom

export function append(html) {
  for (const list of document.querySelectorAll("[data-narration]")) {
    if (!html.includes(list.dataset.narration)) continue;
    const template = document.createElement("template");
    template.innerHTML = html;
    const lines = document.createElement("ol");
    lines.append(...template.content.querySelectorAll(`li[data-job="${list.dataset.narration}"]`));
    for (const line of lines.children) line.classList.add("fresh");
    tell(lines);
    merge(list, lines);
    while (list.children.length > SHOWN) list.firstElementChild.remove();
  }
}

export function followLog() {
  const scroller = document.querySelector("[data-follow]");
  if (!scroller) return;
  const jump = document.querySelector("[data-jump]");
  let following = true;
  const toEnd = () => { scroller.scrollTop = scroller.scrollHeight; };
  scroller.addEventListener("scroll", () => {
    following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    if (following) jump.hidden = true;
  });
  new MutationObserver(() => {
    if (following) toEnd();
    else jump.hidden = false;
  }).observe(scroller, { childList: true, subtree: true });
  jump.addEventListener("click", () => { following = true; jump.hidden = true; toEnd(); scroller.focus(); });
  toEnd();
}
