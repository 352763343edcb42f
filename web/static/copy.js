// Copy buttons; where the clipboard is out of reach (plain http on a network) the text is selected instead.
export function showCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
}

export function copyOnClick() {
  showCopyButtons();
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    getSelection().selectAllChildren(source);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.lastChild.data = "Copied";
    } catch {
      button.lastChild.data = "Selected: press Ctrl-C";
    }
    setTimeout(() => { button.lastChild.data = "Copy"; }, 3000);
  });
}
