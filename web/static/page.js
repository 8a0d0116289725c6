"use strict";

// Trusted Types: the one policy of this page. htmx may parse fragments; scripts in them and eval stay dead.
(() => {
  const WORKER = "/sw.js";
  const never = () => { throw new Error("no code from text"); };
  const rules = { createHTML: (text) => text, createScript: () => "", createScriptURL: (url) => (url === WORKER ? url : never()) };
  const policy = window.trustedTypes ? trustedTypes.createPolicy("app", rules) : rules;
  htmx.registerExtension("hard", { init: (api) => api.initSecurity(policy, never, never) });
  if (window.isSecureContext) addEventListener("load", () => navigator.serviceWorker?.register(policy.createScriptURL(WORKER)).catch(() => {}));
})();

// Streams: one at a time, that of the oldest running answer, since a browser has six connections for all its tabs. A lost
// one hx-sse opens again; here it is opened again if it falls silent, or if not even its first request got through.
(() => {
  const PATIENCE = 40000, RETRY = 500, LONGEST_RETRY = 4000, timers = new WeakMap(), tries = new WeakMap();
  let opening;
  const open = () => {
    const first = document.querySelector(".message.live");
    if (!first || first._htmx?.sse || opening === first) return;
    opening = first;
    htmx.trigger(first, "stream");
  };
  const opened = ({ target, detail }) => {
    if (opening === target) opening = null;
    tries.delete(target);
    clearTimeout(timers.get(target));
    target.classList.remove("reconnecting");
    timers.set(target, setTimeout(() => detail.connection.reader?.cancel(), PATIENCE));
  };
  const failed = ({ detail }) => {
    if (!opening || detail.ctx?.sourceElement !== opening) return;
    const tried = tries.get(opening) ?? 0;
    tries.set(opening, tried + 1);
    opening.classList.add("reconnecting");
    opening = null;
    setTimeout(open, Math.min(RETRY * 2 ** tried, LONGEST_RETRY));
  };
  document.addEventListener("htmx:sse:after:connection", opened);
  document.addEventListener("htmx:sse:after:message", opened);
  document.addEventListener("htmx:error", failed);
  document.addEventListener("htmx:response:error", failed);
  document.addEventListener("htmx:sse:error", ({ target, detail }) => {
    target.classList.add("reconnecting");
    if (detail.status === 404) detail.connection.config.reconnect = false; // signed out, or deleted
  });
  document.addEventListener("htmx:sse:close", ({ target }) => {
    clearTimeout(timers.get(target));
    target.classList.remove("live", "reconnecting");
    setTimeout(open);
  });
  document.addEventListener("htmx:after:swap", () => setTimeout(open));
  document.addEventListener("DOMContentLoaded", open);
})();

// The list of chats is fetched anew when something changed in it, unless somebody is using it.
(() => {
  const list = document.getElementById("chats"), PAUSE = 5000;
  let timer;
  const refresh = () => {
    clearTimeout(timer);
    if (!document.hidden && !list.contains(document.activeElement) && !list.querySelector("[open]")) {
      htmx.ajax("GET", list.dataset.from, { target: list, swap: "innerHTML" });
    }
    later();
  };
  const later = () => { if (list.querySelector("a:not([aria-current]) .running")) timer = setTimeout(refresh, PAUSE); };
  document.addEventListener("done", refresh);
  document.addEventListener("turn", refresh);
  later();
})();
