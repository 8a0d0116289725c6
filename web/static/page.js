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

// Streams: the page opens one at a time, for the oldest running answer, since a browser has six connections for all its tabs.
// hx-sse reopens a lost stream. This code reopens a stream that is silent for too long, or whose first request failed.
(() => {
  const SILENCE_MS = 40000, MIN_RETRY_MS = 500, MAX_RETRY_MS = 4000, silenceTimers = new WeakMap(), failures = new WeakMap();
  let opening;
  const openNext = () => {
    const article = document.querySelector(".message.live");
    if (!article || article._htmx?.sse || opening === article) return; // private: see README.md
    opening = article;
    htmx.trigger(article, "stream");
  };
  const onActivity = ({ target, detail }) => {
    if (opening === target) opening = null;
    failures.delete(target);
    clearTimeout(silenceTimers.get(target));
    target.classList.remove("reconnecting");
    silenceTimers.set(target, setTimeout(() => detail.connection.reader?.cancel(), SILENCE_MS));
  };
  const onFirstRequestFailed = ({ detail }) => {
    if (!opening || detail.ctx?.sourceElement !== opening) return;
    const count = failures.get(opening) ?? 0;
    failures.set(opening, count + 1);
    opening.classList.add("reconnecting");
    opening = null;
    setTimeout(openNext, Math.min(MIN_RETRY_MS * 2 ** count, MAX_RETRY_MS));
  };
  document.addEventListener("htmx:sse:after:connection", onActivity);
  document.addEventListener("htmx:sse:after:message", onActivity);
  document.addEventListener("htmx:error", onFirstRequestFailed);
  document.addEventListener("htmx:response:error", onFirstRequestFailed);
  document.addEventListener("htmx:sse:error", ({ target, detail }) => {
    target.classList.add("reconnecting");
    if (detail.status === 404) detail.connection.config.reconnect = false; // signed out, or deleted
  });
  document.addEventListener("htmx:sse:close", ({ target }) => {
    clearTimeout(silenceTimers.get(target));
    target.classList.remove("live", "reconnecting");
    setTimeout(openNext);
  });
  document.addEventListener("htmx:after:swap", () => setTimeout(openNext));
  document.addEventListener("DOMContentLoaded", openNext);
})();

// The list of chats: reloaded after each turn and answer, and regularly while answers in other chats are running.
// It does not change while it is hidden, has the focus, or has an open menu.
(() => {
  const list = document.getElementById("chats"), REFRESH_MS = 5000;
  let timer;
  const load = () => htmx.ajax("GET", list.dataset.from, { target: list, swap: "innerHTML" });
  const refresh = () => {
    clearTimeout(timer);
    if (!document.hidden && !list.contains(document.activeElement) && !list.querySelector(":popover-open")) load();
    schedule();
  };
  const schedule = () => { if (list.querySelector("a:not([aria-current]) .running")) timer = setTimeout(refresh, REFRESH_MS); };
  const showCurrent = () => list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  list.addEventListener("toggle", showCurrent);
  showCurrent();
  document.addEventListener("done", refresh);
  document.addEventListener("turn", refresh);
  schedule();

  // One menu serves all rows. Renaming keeps the page.
  list.addEventListener("click", (event) => {
    const button = event.target.closest(".more"), link = button?.closest("li").querySelector("a");
    if (!button) return;
    const menu = document.getElementById("chat-menu"), path = new URL(link.href).pathname;
    for (const [element, name, end] of [["form", "action", "/title"], ["form + p > a", "href", ".md"], ["form + p > a + a", "href", ".json"], ["p + form", "action", "/delete"]]) {
      menu.querySelector(element)[name] = path + end;
    }
    menu.querySelector("input").value = link.dataset.title;
    if (!button.popoverTargetElement) menu.togglePopover();
  });
  list.addEventListener("submit", async (event) => {
    const form = event.target, menu = form.closest("#chat-menu");
    if (!menu || !form.elements.title) return;
    event.preventDefault();
    const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }).catch(() => null);
    if (!response?.ok) return void form.submit(); // shows the error
    menu.hidePopover();
    await load();
    list.querySelector("[aria-current] ~ .more")?.focus();
  });
})();

// Sheets open next to their buttons and stay inside the window. Arrow keys move between their items.
(() => {
  const MARGIN = 8, GAP = 4;
  let button;
  document.addEventListener("click", ({ target }) => { button = target.closest(".more") ?? button; }, true);
  document.addEventListener("beforetoggle", ({ target, newState }) => {
    if (target.matches(".sheet")) target.classList.toggle("placing", newState === "open");
  }, true);
  document.addEventListener("toggle", ({ target, newState }) => {
    if (newState !== "open" || !target.matches(".sheet")) return;
    const { left, top, bottom } = (button ?? document.body).getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = target;
    const fitsBelow = bottom + GAP + height < innerHeight - MARGIN;
    const { style } = document.documentElement; // htmx would copy a style of the sheet, which the CSP forbids
    style.setProperty("--left", `${Math.max(MARGIN, Math.min(left, innerWidth - width - MARGIN))}px`);
    style.setProperty("--top", `${Math.max(MARGIN, fitsBelow ? bottom + GAP : top - GAP - height)}px`);
    target.classList.replace("placing", "placed");
  }, true);
  document.addEventListener("keydown", (event) => {
    const sheet = event.target.closest?.(".sheet"), step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!sheet || !step) return;
    event.preventDefault();
    const items = [...sheet.querySelectorAll("input, button, a")];
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  });
})();
