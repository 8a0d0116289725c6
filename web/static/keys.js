"use strict";

// Keys, and the dialog that lists them. Keys without Alt work outside of fields only, and can be switched off.
(() => {
  const help = document.getElementById("help"), ask = document.getElementById("ask-help"), field = document.getElementById("content");
  const single = document.getElementById("single-keys");
  const click = (selector) => document.querySelector(selector)?.click();
  const walk = (by) => {
    const chats = [...document.querySelectorAll("#chats .chats a")];
    chats[chats.findIndex((chat) => chat.ariaCurrent) + by]?.click();
  };
  const lastAnswer = () => [...document.querySelectorAll(".assistant:not(.live) button.copy")].at(-1)?.click();
  const withAlt = {
    KeyN: () => click("#new-chat"),
    KeyS: () => click(".live .stop"),
    KeyC: lastAnswer,
    ArrowUp: () => walk(-1),
    ArrowDown: () => walk(1),
  };
  const alone = { "/": () => field.focus(), "?": () => help.showModal() };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.isComposing || help.open) return;
    const typing = !help.contains(event.target) && event.target.closest("input, textarea, select, [contenteditable]"); // what was closed keeps the focus for a frame
    const act = event.altKey ? !event.shiftKey && withAlt[event.code] : !typing && single.checked && alone[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  ask.hidden = false;
  ask.addEventListener("click", () => help.showModal());
  help.addEventListener("click", (event) => { if (event.target === help) help.close(); });

  // What is chosen here is remembered by this browser
  single.checked = localStorage.getItem("single-keys") !== "off";
  single.addEventListener("change", () => localStorage.setItem("single-keys", single.checked ? "on" : "off"));
  const announce = help.querySelector("form").elements.announce;
  announce.value = localStorage.getItem("announce") ?? "sentences";
  help.addEventListener("change", () => localStorage.setItem("announce", announce.value));
})();
