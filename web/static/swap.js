// Puts fragments where they belong: over the element with their id, or into a list that accepts them.
import { morph } from "./morph.js";
import { tell } from "./clock.js";

export function swap(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const placed = [...template.content.children].map(place);
  tell(document);
  return placed;
}

function place(fresh) {
  const here = fresh.id ? document.getElementById(fresh.id) : null;
  if (fresh.hasAttribute("data-notice")) return notice(fresh);
  if (fresh.hasAttribute("data-gone")) { here?.remove(); return null; }
  if (here && fresh.hasAttribute("data-replace")) { here.replaceWith(fresh); return fresh; }
  if (here) {
    announce(here, fresh);
    morph(here, fresh);
    return here;
  }
  for (const list of document.querySelectorAll(`[data-accepts="${fresh.dataset.noun}"]`)) {
    if (accepts(list, fresh)) { list.prepend(fresh); return fresh; }
  }
  return null;
}

function accepts(list, card) {
  if (card.dataset.noun !== "job") return true;
  const { states, operation, hive, parent } = list.dataset;
  if (states && !states.split(" ").includes(card.dataset.state)) return false;
  if (operation && operation !== card.dataset.operation) return false;
  if (hive && hive !== card.dataset.hive) return false;
  if (parent && parent !== card.dataset.parent) return false;
  if ("top" in list.dataset && card.dataset.parent) return false;
  const first = list.querySelector(":scope > [data-created]");
  return !first || card.dataset.created > newest(list);
}

const newest = (list) => [...list.children].reduce((latest, card) => (card.dataset.created > latest ? card.dataset.created : latest), "");

function announce(old, fresh) {
  const { state, title } = fresh.dataset;
  if (state && state !== old.dataset.state) say(`${title}: ${state}`);
}

export function say(words) {
  document.getElementById("announcer").textContent = words;
}

export function notice(element) {
  document.getElementById("notices").replaceChildren(element);
  return element;
}
