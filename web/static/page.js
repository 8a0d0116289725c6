"use strict";

// Trusted Types: "app" is the only policy. htmx may parse HTML fragments, but scripts in them and eval do not run.
(() => {
  const WORKER = "/sw.js";
  const refuse = () => { throw new Error("text must not become code"); };
  const rules = { createHTML: (text) => text, createScript: () => "", createScriptURL: (url) => (url === WORKER ? url : refuse()) };
  const policy = window.trustedTypes ? trustedTypes.createPolicy("app", rules) : rules;
  htmx.registerExtension("hard", { init: (api) => api.initSecurity(policy, refuse, refuse) });
  if (window.isSecureContext) addEventListener("load", () => navigator.serviceWorker?.register(policy.createScriptURL(WORKER)).catch(() => {}));
})();

// Sheets open below, above or beside their buttons and stay inside the window. Arrow keys move between their items.
(() => {
  const MARGIN = 8, GAP = 4;
  let button;
  document.addEventListener("click", ({ target }) => { button = target.closest(".more") ?? button; }, true);
  document.addEventListener("beforetoggle", ({ target, newState }) => {
    if (target.matches(".sheet")) target.classList.toggle("placing", newState === "open");
  }, true);
  document.addEventListener("toggle", ({ target, newState }) => {
    if (newState !== "open" || !target.matches(".sheet")) return;
    const { left, right, top, bottom } = (button ?? document.body).getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = target;
    const fitsBelow = bottom + GAP + height < innerHeight - MARGIN, start = fitsBelow || top > MARGIN + height + GAP ? left : right + GAP;
    const { style } = document.documentElement; // htmx would copy a style of the sheet, which the CSP forbids
    style.setProperty("--left", `${Math.max(MARGIN, Math.min(start, innerWidth - width - MARGIN))}px`);
    style.setProperty("--top", `${Math.max(MARGIN, fitsBelow ? bottom + GAP : top - GAP - height)}px`);
    target.classList.replace("placing", "placed");
  }, true);
  document.addEventListener("keydown", (event) => {
    const sheet = event.target.closest?.(".sheet"), step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!sheet || !step) return;
    event.preventDefault();
    const items = [...sheet.querySelectorAll("input, button, a")].filter((each) => each.checkVisibility());
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  });
})();
