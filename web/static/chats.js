"use strict";

// Shows what changes on other devices: an event names the change, and the page requests what it does not show yet.
(() => {
  const list = document.getElementById("chats"), chat = location.pathname.split("/")[2], DELAY_MS = 100, RETRY_MS = 2000;
  const requesting = new Set();
  let listTimer, messagesTimer, revision = 0;
  const load = () => htmx.ajax("GET", list.dataset.from, { source: list, target: list, swap: "innerMorph" });
  const listState = () => list.querySelector("ul").dataset.state;
  const refreshList = (delay = DELAY_MS) => {
    clearTimeout(listTimer);
    listTimer = setTimeout(load, delay);
  };
  const isBusy = () => [...requesting].some((form) => form.isConnected) || document.querySelector(".edit, #messages :popover-open");
  const refreshMessages = (delay = DELAY_MS) => {
    clearTimeout(messagesTimer);
    messagesTimer = setTimeout(() => {
      if (revision <= document.getElementById("revision").value) return;
      if (isBusy()) refreshMessages();
      else htmx.trigger("#refresh", "refresh");
    }, delay);
  };
  document.addEventListener("changed", ({ detail }) => {
    const change = JSON.parse(detail.data);
    if (change.chat === chat && change.revision > revision) ({ revision } = change);
    if (revision) refreshMessages();
    if (change.list !== listState()) refreshList();
  });
  document.addEventListener("gone", () => htmx.trigger("#refresh", "refresh"));
  document.addEventListener("htmx:before:request", ({ target }) => { if (target.closest("main form")) requesting.add(target); });
  document.addEventListener("htmx:finally:request", ({ target, detail }) => {
    requesting.delete(target);
    const status = detail.ctx.response?.status;
    if (status < 500 && status !== 429) return;
    if (target === list) refreshList(RETRY_MS);
    if (target.id === "refresh") refreshMessages(RETRY_MS);
  });
  document.addEventListener("turn", () => refreshList());
  list.addEventListener("htmx:before:swap", (event) => {
    if (!list.querySelector(":popover-open")) return;
    event.preventDefault();
    refreshList(RETRY_MS);
  });

  const showCurrent = () => list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  list.addEventListener("toggle", showCurrent);
  showCurrent();

  // One menu serves all rows. Renaming keeps the page.
  list.addEventListener("click", (event) => {
    const button = event.target.closest("li .more"), link = button?.closest("li").querySelector("a");
    if (!button) return;
    const menu = document.getElementById("chat-menu"), path = new URL(link.href).pathname;
    for (const [element, name, end] of [["form", "action", "/title"], ["form + p > a", "href", ".md"], ["form + p > a + a", "href", ".json"], ["p + form", "action", "/delete"]]) {
      menu.querySelector(element)[name] = path + end;
    }
    menu.querySelector("input").value = link.dataset.title;
    if (!button.popoverTargetElement) menu.togglePopover();
  });
  list.addEventListener("submit", async (event) => {
    const form = event.target, menu = form.closest("#chat-menu");
    if (!menu || !form.elements.title) return;
    event.preventDefault();
    const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) }).catch(() => null);
    if (!response?.ok) return void form.submit(); // shows the error
    menu.hidePopover();
    refreshList();
  });
})();

// Keyboard shortcuts, and the help dialog that lists them. Shortcuts without Alt work only outside of fields, and can be disabled.
(() => {
  const help = document.getElementById("help"), helpButton = document.getElementById("ask-help"), field = document.getElementById("content");
  const singleKeys = document.getElementById("single-keys");
  const click = (selector) => document.querySelector(selector)?.click();
  const openNeighbor = (offset) => {
    const chats = [...document.querySelectorAll("#chats .chats a")];
    chats[chats.findIndex((chat) => chat.ariaCurrent) + offset]?.click();
  };
  const copyLastAnswer = () => [...document.querySelectorAll(".assistant:not(.live) button.copy")].at(-1)?.click();
  const withAlt = {
    KeyN: () => click("#new-chat"),
    KeyS: () => click(".live .stop"),
    KeyC: copyLastAnswer,
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
