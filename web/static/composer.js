"use strict";

// The message field: Enter sends. The draft survives a reload, and is removed when the server has stored the message.
// Each tab has its own draft; a new tab takes over another one's.
(() => {
  const form = document.getElementById("composer"), field = form.elements.content;
  const touch = matchMedia("(pointer: coarse)"), drafts = `draft ${location.pathname}`;
  const tab = sessionStorage.tab ??= Math.random().toString(36).slice(2), key = `${drafts} ${tab}`;
  let sent = "";

  const saveDraft = () => {
    sessionStorage.setItem(key, field.value);
    if (field.value) localStorage.setItem(key, field.value);
    else localStorage.removeItem(key);
  };
  const takeOver = () => {
    const other = Object.keys(localStorage).findLast((name) => name.startsWith(drafts));
    if (!other) return "";
    const text = localStorage.getItem(other);
    localStorage.removeItem(other);
    localStorage.setItem(key, text);
    return text;
  };
  const count = document.getElementById("count"), limit = Number(field.dataset.limit) || Infinity, NEARLY = 0.9;
  const grow = () => {
    const { length } = field.value.length > NEARLY * limit ? [...field.value] : "";
    count.textContent = length > NEARLY * limit ? `${length.toLocaleString()} / ${limit.toLocaleString()}` : "";
    count.classList.toggle("failed", length > limit);
    if (CSS.supports("field-sizing", "content")) return;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  const showNotice = (text) => { document.getElementById("notice").textContent = text; };

  form.querySelector(".stop").addEventListener("click", () => { document.querySelector(".live .stop").click(); field.focus({ preventScroll: true }); });

  field.value ||= sessionStorage.getItem(key) ?? takeOver();
  grow();
  field.addEventListener("input", () => { saveDraft(); grow(); });
  field.addEventListener("keydown", (event) => {
    const composing = event.isComposing || event.keyCode === 229; // in Safari, compositionend comes before keydown
    if (event.key !== "Enter" || event.shiftKey || composing || touch.matches) return;
    event.preventDefault();
    if (field.value.trim()) form.requestSubmit();
  });
  form.addEventListener("htmx:before:request", ({ target }) => { if (target === form) sent = field.value; }); // not the choice of a model
  form.addEventListener("htmx:after:request", ({ target, detail }) => {
    const { status } = detail.ctx.response;
    if (target !== form || (status !== 201 && status !== 204)) return;
    if (field.value.startsWith(sent)) field.value = field.value.slice(sent.length);
    saveDraft();
    grow();
  });
  form.addEventListener("htmx:after:swap", ({ detail }) => {
    if (detail.ctx.response.status !== 201) return;
    field.focus();
    form.dispatchEvent(new CustomEvent("turn", { bubbles: true }));
  });
  document.addEventListener("htmx:before:request", ({ target }) => { if (target.closest("main") && !target.matches(".message")) showNotice(""); }); // not a stream

  // The server's errors contain a notice. This explains all others: no connection, or an error page of a proxy.
  const explain = (what, source) => {
    const panel = source?.closest("#panel");
    if (panel?.open) panel.querySelector(".notice").textContent = `${what} Please try again.`;
    if (!source?.closest("main") || source.matches(".message")) return; // not a stream, which reconnects
    showNotice(`${what} ${source === form ? "Your message is still here: please send it again." : "Please try again."}`);
  };
  document.addEventListener("htmx:error", ({ detail }) => explain("The server cannot be reached.", detail.ctx?.sourceElement));
  document.addEventListener("htmx:after:request", (event) => {
    const { response, text, sourceElement } = event.detail.ctx;
    if (!(response?.status >= 400) || text?.includes('class="notice"')) return;
    event.preventDefault();
    explain(`The server cannot be reached (error ${response.status}).`, sourceElement);
  });
})();

// Editing a message: the caret is at the end, Ctrl+Enter sends, Escape cancels.
(() => {
  const begin = () => {
    const field = document.getElementById("edited");
    if (!field || field.dataset.begun) return;
    field.dataset.begun = "1";
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  };
  document.addEventListener("keydown", (event) => {
    const edit = !event.isComposing && event.target.closest?.(".edit");
    if (!edit) return;
    if (event.key === "Escape") edit.querySelector("a").click();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) edit.requestSubmit();
  });
  document.addEventListener("htmx:after:swap", begin);
  begin();
})();

// Keyboard focus: an action on a message may remove the element that had the focus.
(() => {
  let focused;
  document.addEventListener("htmx:before:swap", () => { focused = document.activeElement.closest("#messages :is(footer, .edit)"); });
  document.addEventListener("htmx:after:swap", () => setTimeout(() => { // stream.js has shown the Stop button by then
    for (const name of ["#composer .stop", "#content"]) {
      if (focused && document.activeElement === document.body) document.querySelector(name).focus({ preventScroll: true });
    }
  }));
})();
