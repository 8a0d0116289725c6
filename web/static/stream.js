"use strict";

// The page has one stream, since a browser has six connections for all its windows: that of the oldest running answer,
// else that of the listener. Both carry the events of chats.js. The listeners of all windows share one stream: the window
// that holds a lock keeps it open and passes its events on to the others. Locks also limit how many windows show a running
// answer at the same time, unless the protocol needs one connection only. Hidden windows have no stream.
// hx-sse reopens a lost stream. This code reopens a stream that is silent for too long, or whose first request failed.
(() => {
  const SILENCE_MS = 40000, MIN_RETRY_MS = 500, MAX_RETRY_MS = 4000, silenceTimers = new WeakMap(), failures = new WeakMap();
  const listener = document.getElementById("listener"), channel = new BroadcastChannel("changes"), CHECK = "check", GRANT_MS = 100, SLOTS = 4;
  const isLimited = navigator.locks && !/^h[23]/.test(performance.getEntriesByType("navigation")[0]?.nextHopProtocol);
  let opening, gone, leads = false, follows = false, resign, hasSlot = !isLimited, freeSlot;
  const close = ({ config, reader }) => { config.reconnect = false; reader?.cancel(); };
  const openNext = () => {
    const element = document.querySelector(".message.live") ?? listener;
    const stop = document.querySelector("#composer .stop"), hadFocus = document.activeElement === stop;
    stop.hidden = element === listener;
    if (hadFocus) stop.nextElementSibling.focus();
    if (element === listener) freeSlot?.();
    else element.classList.toggle("elsewhere", !hasSlot);
    if (element !== listener && !hasSlot) return void takeSlot();
    if (gone || document.hidden || element._htmx?.sse || opening === element || (follows && element === listener)) return; // private: see README.md
    htmx.trigger(element, "stream"); // no effect before htmx has processed the element
  };
  const takeSlot = () => {
    if (freeSlot || document.hidden) return;
    const others = new AbortController();
    let release = () => {};
    freeSlot = () => { others.abort(); release(); freeSlot = null; hasSlot = false; };
    const hold = () => {
      if (hasSlot || !freeSlot) return;
      hasSlot = true;
      others.abort();
      openNext();
      return new Promise((done) => { release = done; });
    };
    for (let slot = 0; slot < SLOTS; slot++) navigator.locks.request(`answer ${slot}`, { signal: others.signal }, hold).catch(() => {});
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
  const onNotFound = (element, count) => { // signed out, or deleted: the page says so
    gone ||= element === listener;
    element.classList.remove("live");
    if (!count) htmx.trigger("#refresh", "refresh");
  };
  const onFirstRequestFailed = ({ detail }) => {
    if (!opening || detail.ctx?.sourceElement !== opening) return;
    const count = failures.get(opening) ?? 0;
    if (detail.ctx.response?.status === 404) onNotFound(opening, count);
    failures.set(opening, count + 1);
    opening.classList.add("reconnecting");
    opening = null;
    setTimeout(openNext, Math.min(MIN_RETRY_MS * 2 ** count, MAX_RETRY_MS));
  };
  document.addEventListener("htmx:sse:after:connection", onActivity);
  document.addEventListener("htmx:sse:after:message", onActivity);
  document.addEventListener("htmx:error", onFirstRequestFailed);
  document.addEventListener("htmx:after:request", (event) => { if (event.detail.ctx.response.status >= 400) onFirstRequestFailed(event); });
  document.addEventListener("htmx:sse:error", ({ target, detail }) => {
    target.classList.add("reconnecting");
    if (detail.status !== 404) return;
    detail.connection.config.reconnect = false;
    onNotFound(target, 0);
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
    const own = resign = () => { release(); resign = null; leads = follows = false; };
    const hold = () => new Promise((done) => { release = done; leads = true; follows = false; openNext(); });
    navigator.locks.request("listener", { signal: waiting.signal }, hold).catch(() => {});
    const follow = () => {
      if (leads || resign !== own) return;
      if (document.querySelector(".message.live")) return void setTimeout(follow, GRANT_MS);
      follows = true;
      if (listener._htmx?.sse) close(listener._htmx.sse);
    };
    setTimeout(follow, GRANT_MS);
  };
  document.addEventListener("changed", ({ target, detail }) => {
    if (target === listener) { // it may have been requested before another stream was open
      if (follows || document.querySelector(".message.live")?._htmx?.sse) close(listener._htmx.sse);
      else share();
    }
    if (target !== document) channel.postMessage(detail.data);
  });
  const passOn = ({ target }) => { if (target === listener && leads) channel.postMessage(CHECK); }; // it may have missed something
  document.addEventListener("htmx:sse:after:connection", passOn);
  document.addEventListener("gone", passOn);
  channel.addEventListener("message", ({ data }) => {
    if (data !== CHECK) document.dispatchEvent(new CustomEvent("changed", { detail: { data } }));
    else if (follows) { resign(); openNext(); }
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return openNext();
    resign?.();
    freeSlot?.();
  });
  document.addEventListener("htmx:after:swap", () => setTimeout(openNext));
  document.addEventListener("DOMContentLoaded", openNext);
})();
