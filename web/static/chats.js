"use strict";

// Shows what changes on other devices: an event names the change, and the page requests what it does not show yet.
(() => {
  const list = document.getElementById("list"), chat = location.pathname.split("/")[2], DELAY_MS = 100, RETRY_MS = 2000;
  const requesting = new Set();
  let listTimer, messagesTimer, revision = 0, missed;
  const load = () => { // a chat is unread until a visible page has shown it
    missed = document.hidden;
    htmx.ajax("GET", list.dataset.from + (missed ? "" : "?seen=1"), { source: list, target: list, swap: "innerMorph" });
  };
  const listState = () => list.querySelector("[data-state]").dataset.state;
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
  document.addEventListener("visibilitychange", () => { if (missed && !document.hidden) refreshList(); });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => { // an action may lead away from the message in the address
    const { redirected, url } = ctx.response?.raw ?? {};
    if (redirected && ctx.select === "#messages" && new URL(url).search !== location.search) history.replaceState(null, "", url);
  });
  list.addEventListener("htmx:before:swap", (event) => {
    if (event.target !== list || !list.querySelector(":popover-open")) return;
    event.preventDefault();
    refreshList(RETRY_MS);
  });

  const showCurrent = () => list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  list.parentElement.addEventListener("toggle", showCurrent);
  showCurrent();

  const leaving = sessionStorage.getItem("temporary");
  if (leaving && !leaving.startsWith(`${location.pathname}/`)) {
    sessionStorage.removeItem("temporary");
    fetch(leaving, { method: "POST" }).catch(() => {});
  }

  // The groups of the list depend on the reader's time zone, which only a script knows.
  const offset = -new Date().getTimezoneOffset();
  if (offset !== Number(list.dataset.offset)) {
    document.cookie = `utc_offset=${offset}; path=/; max-age=31536000; samesite=lax`;
    refreshList(0);
  }

  // One menu serves all rows. Its actions keep the page, except the deletion of a chat.
  const post = (form, url) => fetch(url, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" }).catch(() => null);
  list.addEventListener("click", (event) => {
    const button = event.target.closest("li .more"), link = button?.closest("li").querySelector("a");
    if (!button) return;
    const menu = document.getElementById("chat-menu"), path = new URL(link.href).pathname;
    for (const name of ["action", "formaction", "href"]) {
      for (const element of menu.querySelectorAll(`[${name}^="/chats/"]`)) element.setAttribute(name, element.getAttribute(name).replace(/^.chats.[^/.]+/, path));
    }
    menu.dataset.group = link.closest("ul").ariaLabel;
    menu.querySelector("input").value = link.dataset.title;
    if (!button.popoverTargetElement) menu.togglePopover();
  });
  list.addEventListener("submit", async (event) => {
    const form = event.target, menu = form.closest("#chat-menu"), url = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action");
    if (!menu || url.endsWith("/delete")) return;
    event.preventDefault();
    if ((await post(form, url))?.type !== "opaqueredirect") { // shows the error
      form.action = url;
      return void form.submit();
    }
    menu.hidePopover();
    refreshList();
  });

  // On wide screens the list can be hidden. A cookie keeps that for other pages.
  const toggle = document.getElementById("toggle"), { sidebar } = toggle.form.elements;
  toggle.form.addEventListener("submit", (event) => {
    event.preventDefault();
    post(toggle.form, toggle.form.action);
    toggle.ariaExpanded = String(!sidebar.value);
    if (sidebar.value) document.documentElement.dataset.sidebar = sidebar.value;
    else delete document.documentElement.dataset.sidebar;
    sidebar.value = sidebar.value ? "" : "hidden";
    dispatchEvent(new Event("resize")); // the messages have moved
    showCurrent();
  });
})();
