// Runs before the first paint, so that a page in the chosen colours never flashes in the others. Not a module: those wait.
"use strict";

(() => {
  let stored = "";
  try {
    stored = localStorage.getItem("codetrove.theme") ?? "";
  } catch {
    // Storage is switched off: the system's colours.
  }
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
})();
