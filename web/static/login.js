// Redeems the one-time link by itself: a prefetch reads the page, but runs no script and posts nothing.
const form = document.querySelector("[data-redeem]");
if (form) {
  history.replaceState(null, "", "/login");
  const redeem = () => form.requestSubmit();
  if (document.prerendering) document.addEventListener("prerenderingchange", redeem, { once: true });
  else redeem();
}
