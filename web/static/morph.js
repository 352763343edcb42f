// Makes one element like another without replacing what stays: focus, scroll, an open <details> and a moving bar survive.
const KEPT = { DETAILS: "open", INPUT: "value", OPTION: "selected" };

export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || (old.id ?? "") !== (fresh.id ?? "")) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  if (goesBack(old, fresh)) return;
  copyAttributes(old, fresh);
  if (old.hasAttribute("data-merge")) merge(old, fresh);
  else morphChildren(old, fresh);
}

// Adds the children that are missing; each has an id that ends in its number, and they are in that order.
export function merge(old, fresh) {
  const known = new Set([...old.children].map((child) => child.id));
  for (const child of [...fresh.children]) {
    if (known.has(child.id)) continue;
    const after = [...old.children].findLast((other) => numberOf(other) < numberOf(child));
    if (after) after.after(child);
    else old.prepend(child);
  }
}

// Rows know progress up to a second later than the stream does: within one attempt and phase a bar stays where it is.
function goesBack(old, fresh) {
  const { course, done } = old.dataset;
  return course !== undefined && course === fresh.dataset.course && Number(fresh.dataset.done) < Number(done)
    && old.className === fresh.className;
}

const numberOf = (element) => Number(element.id.slice(element.id.lastIndexOf("-") + 1));

function copyAttributes(old, fresh) {
  const kept = KEPT[old.nodeName];
  for (const { name } of [...old.attributes]) if (name !== kept && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== kept && old.getAttribute(name) !== value) old.setAttribute(name, value);
}

function morphChildren(old, fresh) {
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = child.id ? [...old.children].find((other) => other.id === child.id) : undefined;
    if (same) {
      if (same !== place) old.insertBefore(same, place);
      place = same.nextSibling;
      morph(same, child);
    } else if (place && !place.id && !child.id && place.nodeName === child.nodeName) {
      const next = place.nextSibling;
      morph(place, child);
      place = next;
    } else {
      old.insertBefore(child, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
