"use strict";

// Buttons that copy what stands beside them; without this file they aren't shown.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Can’t copy";
    }
    setTimeout(() => (button.textContent = label), 2000);
  });
}
