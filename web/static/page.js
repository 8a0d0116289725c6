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

// The page has one stream, since a browser has six connections for all its tabs: that of the oldest running answer, else
// that of the listener. Both carry the events of chats.js.
// hx-sse reopens a lost stream. This code reopens a stream that is silent for too long, or whose first request failed.
(() => {
  const SILENCE_MS = 40000, MIN_RETRY_MS = 500, MAX_RETRY_MS = 4000, silenceTimers = new WeakMap(), failures = new WeakMap();
  const listener = document.getElementById("listener");
  let opening, gone;
  const close = ({ config, reader }) => { config.reconnect = false; reader?.cancel(); };
  const openNext = () => {
    const element = document.querySelector(".message.live") ?? listener;
    const stop = document.querySelector("#composer .stop"), hadFocus = document.activeElement === stop;
    stop.hidden = element === listener;
    if (hadFocus) stop.nextElementSibling.focus();
    if (gone || element._htmx?.sse || opening === element) return; // private: see README.md
    htmx.trigger(element, "stream"); // no effect before htmx has processed the element
  };
  document.addEventListener("htmx:before:request", ({ target }) => {
    if (target.matches("#listener, .message.live")) opening = target;
  });
  const onActivity = ({ target, detail }) => {
    if (opening === target) opening = null;
    if (target !== listener && listener._htmx?.sse) close(listener._htmx.sse);
    failures.delete(target);
    clearTimeout(silenceTimers.get(target));
    target.classList.remove("reconnecting");
    silenceTimers.set(target, setTimeout(() => detail.connection.reader?.cancel(), SILENCE_MS));
  };
  const onFirstRequestFailed = ({ detail }) => {
    if (!opening || detail.ctx?.sourceElement !== opening) return;
    gone = opening === listener && detail.ctx.response?.status === 404; // signed out, or deleted
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
    if (detail.status === 404) detail.connection.config.reconnect = false;
  });
  document.addEventListener("htmx:sse:close", ({ target }) => {
    clearTimeout(silenceTimers.get(target));
    target.classList.remove("live", "reconnecting");
    setTimeout(openNext);
  });
  document.addEventListener("htmx:after:swap", () => setTimeout(openNext));
  document.addEventListener("DOMContentLoaded", openNext);
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
