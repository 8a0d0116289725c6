"use strict";

// The page has one stream, since a browser has six connections for all its windows: that of the oldest running answer,
// else that of the listener. Both carry the events of chats.js. The listeners of all windows share one stream: the window
// that holds a lock keeps it open and passes its events on to the others.
// hx-sse reopens a lost stream. This code reopens a stream that is silent for too long, or whose first request failed.
(() => {
  const SILENCE_MS = 40000, MIN_RETRY_MS = 500, MAX_RETRY_MS = 4000, silenceTimers = new WeakMap(), failures = new WeakMap();
  const listener = document.getElementById("listener"), channel = new BroadcastChannel("changes"), CHECK = "check", GRANT_MS = 100;
  let opening, gone, leads = false, follows = false, resign;
  const close = ({ config, reader }) => { config.reconnect = false; reader?.cancel(); };
  const openNext = () => {
    const element = document.querySelector(".message.live") ?? listener;
    const stop = document.querySelector("#composer .stop"), hadFocus = document.activeElement === stop;
    stop.hidden = element === listener;
    if (hadFocus) stop.nextElementSibling.focus();
    if (gone || element._htmx?.sse || opening === element || (follows && element === listener)) return; // private: see README.md
    htmx.trigger(element, "stream"); // no effect before htmx has processed the element
  };
  document.addEventListener("htmx:before:request", ({ target }) => {
    if (target.matches("#listener, .message.live")) opening = target;
  });
  const onActivity = ({ target, detail }) => {
    if (opening === target) opening = null;
    if (target !== listener) {
      resign?.();
      if (listener._htmx?.sse) close(listener._htmx.sse);
    }
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
  const share = () => { // once the listener's first event has told what the page missed
    if (resign || !navigator.locks) return;
    const waiting = new AbortController();
    let release = () => waiting.abort();
    resign = () => { release(); resign = null; leads = follows = false; };
    const hold = () => new Promise((done) => { release = done; leads = true; follows = false; openNext(); });
    navigator.locks.request("listener", { signal: waiting.signal }, hold).catch(() => {});
    setTimeout(() => {
      if (leads || !resign || document.querySelector(".message.live")) return;
      follows = true;
      if (listener._htmx?.sse) close(listener._htmx.sse);
    }, GRANT_MS);
  };
  document.addEventListener("changed", ({ target, detail }) => {
    if (target === listener) share();
    if (target !== document) channel.postMessage(detail.data);
  });
  const passOn = ({ target }) => { if (target === listener && leads) channel.postMessage(CHECK); }; // it may have missed something
  document.addEventListener("htmx:sse:after:connection", passOn);
  document.addEventListener("gone", passOn);
  channel.addEventListener("message", ({ data }) => {
    if (data !== CHECK) document.dispatchEvent(new CustomEvent("changed", { detail: { data } }));
    else if (follows) { resign(); openNext(); }
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) resign?.(); else openNext(); });
  document.addEventListener("htmx:after:swap", () => setTimeout(openNext));
  document.addEventListener("DOMContentLoaded", openNext);
})();
