"use strict";
// Runs before the first paint, so that a chosen theme does not flash, what needs scripts is there at once, and no
// image fails unseen.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  if (navigator.clipboard) root.classList.add("can-copy");
  let theme = null;
  try {
    theme = localStorage.getItem("towpath-theme");
  } catch {
    // Storage may be switched off; the system's theme is used then.
  }
  root.dataset.theme = ["light", "dark"].includes(theme) ? theme : "auto";

  // A chart that cannot be drawn leaves its place. An image's error does not bubble, but it can be caught on its way.
  document.addEventListener("error", (event) => {
    const chart = event.target.closest?.("[data-chart]");
    if (chart) chart.hidden = true;
  }, true);
})();
