"use strict";

// Trusted Types: the one policy of this page. htmx may parse fragments; scripts in them and eval stay dead.
(() => {
  const never = function () { throw new Error("no code from text"); };
  const rules = { createHTML: (text) => text, createScript: () => "" };
  htmx.registerExtension("hard", {
    init: (api) => api.initSecurity(window.trustedTypes ? trustedTypes.createPolicy("app", rules) : rules, never, never),
  });
})();

// The composer: Enter sends, and what was sent leaves the field once it is stored.
(() => {
  const form = document.getElementById("composer"), field = form.elements.content;
  const touch = matchMedia("(pointer: coarse)");
  let sent = "";
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229 && !touch.matches) {
      event.preventDefault();
      if (field.value.trim()) form.requestSubmit();
    }
  });
  form.addEventListener("htmx:before:request", () => { sent = field.value; });
  form.addEventListener("htmx:after:swap", (event) => {
    if (event.detail.ctx.response.status !== 201) return;
    field.value = field.value.startsWith(sent) ? field.value.slice(sent.length) : field.value;
    follow.now();
    field.focus();
  });
  const lost = () => {
    document.getElementById("notice").textContent = "The server cannot be reached. Your message is still here: please send it again.";
  };
  form.addEventListener("htmx:error", lost);
  form.addEventListener("htmx:after:request", (event) => {  // refused by somebody before our server: there is no notice in it
    const { response, text } = event.detail.ctx;
    if (response.status >= 400 && !text.includes('id="notice"')) { event.preventDefault(); lost(); }
  });
  const grow = () => {
    if (CSS.supports("field-sizing", "content")) return;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  };
  field.addEventListener("input", grow);
})();

// The page follows the answer only while its reader is at the end.
const follow = (() => {
  const jump = document.getElementById("jump"), page = document.scrollingElement;
  const distance = () => page.scrollHeight - page.scrollTop - window.innerHeight;
  let following = true, last = 0;
  const now = () => { following = true; jump.hidden = true; page.scrollTop = page.scrollHeight; };
  addEventListener("scroll", () => {
    if (page.scrollTop < last - 2 && distance() > 60) following = false;
    if (distance() <= 60) following = true;
    last = page.scrollTop;
    jump.hidden = following;
  }, { passive: true });
  new ResizeObserver(() => { if (following) page.scrollTop = page.scrollHeight; }).observe(document.getElementById("messages"));
  jump.addEventListener("click", now);
  if (!location.hash) now();
  return { now };
})();

// A stream that has been silent for too long is opened again; one that is lost says so quietly.
(() => {
  const PATIENCE = 40000, timers = new WeakMap();
  const watch = (event) => {
    const element = event.target, connection = event.detail.connection;
    clearTimeout(timers.get(element));
    element.classList.remove("reconnecting");
    timers.set(element, setTimeout(() => connection.reader?.cancel(), PATIENCE));
  };
  document.addEventListener("htmx:sse:after:connection", watch);
  document.addEventListener("htmx:sse:after:message", watch);
  document.addEventListener("htmx:sse:error", (event) => event.target.classList.add("reconnecting"));
  // hx-sse opens a lost stream again, but only one that was open once: the first request is ours to repeat.
  const FIRST = 500, LONGEST = 4000, tries = new WeakMap();
  const openAgain = (event) => {
    const element = event.detail.ctx?.sourceElement, url = element?.getAttribute("hx-sse:connect");
    if (!url || element._htmx?.sse) return;
    const tried = tries.get(element) ?? 0;
    tries.set(element, tried + 1);
    element.classList.add("reconnecting");
    setTimeout(() => {
      if (element.isConnected && !element._htmx?.sse) htmx.ajax("GET", url, { source: element });
    }, Math.min(FIRST * 2 ** tried, LONGEST));
  };
  document.addEventListener("htmx:error", openAgain);
  document.addEventListener("htmx:response:error", openAgain);
  document.addEventListener("htmx:sse:close", (event) => {
    clearTimeout(timers.get(event.target));
    event.target.classList.remove("live", "reconnecting");
  });
})();
