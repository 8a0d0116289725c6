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
  const refresh = () => {
    clearTimeout(timer);
    if (!document.hidden && !list.contains(document.activeElement) && !list.querySelector("[open]")) {
      htmx.ajax("GET", list.dataset.from, { target: list, swap: "innerHTML" });
    }
    schedule();
  };
  const schedule = () => { if (list.querySelector("a:not([aria-current]) .running")) timer = setTimeout(refresh, REFRESH_MS); };
  document.addEventListener("done", refresh);
  document.addEventListener("turn", refresh);
  schedule();
})();
