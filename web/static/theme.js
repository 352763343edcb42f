// Runs before the first paint, so that a chosen theme never flashes.
{
  const names = ["auto", "light", "dark"];
  const read = () => { try { return localStorage.getItem("rbee-theme") ?? "auto"; } catch { return "auto"; } };
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  show(read());
  addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    if (!button) return;
    const label = () => { button.querySelector("[data-theme-name]").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[read()] ?? "Auto"; };
    button.addEventListener("click", () => {
      const next = names[(names.indexOf(read()) + 1) % names.length];
      try { localStorage.setItem("rbee-theme", next); } catch { /* private mode: it lasts for this page */ }
      show(next);
      label();
    });
    label();
    button.hidden = false;
  });
}
