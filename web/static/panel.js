"use strict";

// The dialog in which settings open. It closes when they are saved.
(() => {
  const panel = document.getElementById("panel"), status = document.getElementById("said");
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.target !== panel || ctx.response.status === 204) return;
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
    panel.querySelector("[aria-invalid]")?.focus();
  });
  panel.addEventListener("htmx:after:request", ({ detail }) => {
    if (detail.ctx.response?.status !== 204) return;
    panel.close();
    status.textContent = "Saved";
  });
  panel.addEventListener("click", (event) => {
    if (event.target !== panel && !event.target.closest(".close")) return;
    event.preventDefault();
    panel.close();
  });
})();
