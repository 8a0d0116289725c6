"use strict";

// The composer: Enter sends, what was typed survives a reload, and leaves the field once it is stored.
(() => {
  const form = document.getElementById("composer"), field = form.elements.content;
  const touch = matchMedia("(pointer: coarse)"), key = `draft ${location.pathname}`;
  let sent = "";

  const keep = () => {
    if (field.value) localStorage.setItem(key, field.value);
    else localStorage.removeItem(key);
  };
  const grow = () => {
    if (CSS.supports("field-sizing", "content")) return;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  const say = (sentence) => { document.getElementById("notice").textContent = sentence; };

  field.value ||= localStorage.getItem(key) ?? "";
  grow();
  field.addEventListener("input", () => { keep(); grow(); });
  field.addEventListener("keydown", (event) => {
    const composing = event.isComposing || event.keyCode === 229; // Safari ends the composition before the key
    if (event.key !== "Enter" || event.shiftKey || composing || touch.matches) return;
    event.preventDefault();
    if (field.value.trim()) form.requestSubmit();
  });
  form.addEventListener("htmx:before:request", () => { sent = field.value; });
  form.addEventListener("htmx:before:swap", ({ detail }) => {
    const { status } = detail.ctx.response;
    if (status !== 201 && status !== 204) return;
    if (field.value.startsWith(sent)) field.value = field.value.slice(sent.length);
    keep();
    grow();
  });
  form.addEventListener("htmx:after:swap", ({ detail }) => {
    if (detail.ctx.response.status !== 201) return;
    field.focus();
    form.dispatchEvent(new CustomEvent("turn", { bubbles: true }));
  });
  document.addEventListener("htmx:before:request", ({ target }) => { if (target.closest("main")) say(""); });
  const lost = () => say("The server cannot be reached. Your message is still here: please send it again.");
  form.addEventListener("htmx:error", lost);
  form.addEventListener("htmx:after:request", (event) => { // refused by somebody before our server: there is no notice in it
    const { response, text } = event.detail.ctx;
    if (response.status < 400 || text.includes('id="notice"')) return;
    event.preventDefault();
    lost();
  });
})();

// Who acts on a message by keyboard keeps a place: what had the focus may be gone after its action.
(() => {
  let held;
  document.addEventListener("htmx:before:swap", () => { held = document.activeElement.closest("#messages footer"); });
  document.addEventListener("htmx:after:swap", () => {
    if (!held || document.activeElement !== document.body) return;
    (document.querySelector(".live .stop") ?? document.getElementById("content")).focus({ preventScroll: true });
  });
})();
