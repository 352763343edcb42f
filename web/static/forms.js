// Sends marked forms without leaving the page; the answer is the fragment that changed. Without this module they work as forms do.
import { say, swap } from "./swap.js";
import { showCopyButtons } from "./copy.js";

const FRAGMENT = "text/html-fragment";

export function sendForms() {
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("form[data-live]")) return;
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button");
    if (button?.disabled) return;
    if (button) button.disabled = true;
    try {
      await send(form);
    } catch {
      swap('<div class="notice bad" data-notice><p><strong>The queen does not answer.</strong> Nothing was sent twice; try again in a moment.</p></div>');
    } finally {
      if (button) button.disabled = false;
    }
  });
  document.addEventListener("click", (event) => {
    const example = event.target.closest("[data-fill]");
    const field = example && document.getElementById(example.dataset.fill);
    if (!field) return;
    event.preventDefault();
    field.value = example.dataset.value;
    field.focus();
  });
}

async function send(form) {
  const answer = await fetch(form.action, {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
    headers: { Accept: FRAGMENT },
  });
  document.getElementById("notices").replaceChildren();
  if (answer.status === 401) { location.assign(`/login?next=${encodeURIComponent(location.pathname)}`); return; }
  const placed = swap(await answer.text()).filter(Boolean);
  showCopyButtons();
  const wrong = placed.map((element) => element.querySelector("[aria-invalid='true']")).find(Boolean);
  if (wrong) wrong.focus();
  else if (form.id && !form.isConnected) {
    document.getElementById(form.id)?.querySelector("input")?.focus();
    if (answer.ok && placed[0]?.dataset.title) say(`${placed[0].dataset.title}: ${placed[0].dataset.state}`);
  }
}
