"use strict";

// Keyboard shortcuts, and the help dialog that lists them. Shortcuts without Alt work only outside of fields, and can be disabled.
(() => {
  const help = document.getElementById("help"), helpButton = document.getElementById("ask-help"), field = document.getElementById("content"), TOP_PIXELS = 80;
  const singleKeys = document.getElementById("single-keys");
  const click = (selector) => document.querySelector(selector)?.click();
  const openNeighbor = (offset) => {
    const chats = [...document.querySelectorAll("#chats .chats a")];
    chats[chats.findIndex((chat) => chat.ariaCurrent) + offset]?.click();
  };
  const top = (element) => element.getBoundingClientRect().top;
  const openQuestion = (step) => { // from the message with the focus, if that is in sight
    const focused = document.activeElement.closest(".message footer"), isInSight = focused && top(focused) > 0 && top(focused) < innerHeight;
    const from = isInSight ? top(focused.parentElement) : step < 0 ? innerHeight : TOP_PIXELS;
    const questions = [...document.querySelectorAll("#messages .user")];
    const question = step < 0 ? questions.findLast((each) => top(each) < from - 1) : questions.find((each) => top(each) > from + 1);
    if (!question) return void (step > 0 && click("#newest"));
    question.scrollIntoView();
    question.querySelector("footer a").focus({ preventScroll: true });
  };
  const copyLastAnswer = () => [...document.querySelectorAll(".assistant:not(.live) button.copy")].at(-1)?.click();
  const withAlt = {
    KeyN: () => click("#new-chat"),
    KeyS: () => click(".live .stop"),
    KeyC: copyLastAnswer,
    KeyK: () => openQuestion(-1),
    KeyJ: () => openQuestion(1),
    ArrowUp: () => openNeighbor(-1),
    ArrowDown: () => openNeighbor(1),
  };
  const withoutAlt = { "/": () => field.focus(), "?": () => help.showModal() };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.isComposing || help.open) return;
    const typing = !help.contains(event.target) && event.target.closest("input, textarea, select, [contenteditable]"); // a closed dialog keeps the focus for one frame
    const action = event.altKey ? !event.shiftKey && withAlt[event.code] : !typing && singleKeys.checked && withoutAlt[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  helpButton.hidden = false;
  helpButton.addEventListener("click", () => help.showModal());
  help.addEventListener("click", (event) => { if (event.target === help) help.close(); });

  singleKeys.checked = localStorage.getItem("single-keys") !== "off";
  singleKeys.addEventListener("change", () => localStorage.setItem("single-keys", singleKeys.checked ? "on" : "off"));
  const announce = help.querySelector("form").elements.announce;
  announce.value = localStorage.getItem("announce") ?? "sentences";
  help.addEventListener("change", () => localStorage.setItem("announce", announce.value));
})();

// Ctrl+K opens the dialog with search and actions. Its script is loaded when Ctrl or the list of chats is first used.
(() => {
  const palette = document.getElementById("palette"), script = document.getElementById("search-script");
  const load = () => script.replaceWith(script.content);
  for (const type of ["pointerover", "focusin"]) document.getElementById("chats").addEventListener(type, load, { once: true });
  document.addEventListener("keydown", (event) => {
    const { altKey, shiftKey, code } = event, hasModifier = /^(Mac|iP)/.test(navigator.platform) ? event.metaKey : event.ctrlKey;
    if (hasModifier) load();
    if (!hasModifier || altKey || shiftKey || code !== "KeyK") return;
    event.preventDefault();
    if (palette.open) return palette.close();
    if (document.querySelector("dialog[open]")) return;
    palette.dispatchEvent(new Event("show"));
    palette.showModal();
  });
})();
