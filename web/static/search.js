"use strict";

// Search while typing, next to the chat and in a dialog that also offers the page's actions and the latest chats.
// Arrow keys choose a result, Enter opens it, Escape clears the field or closes the dialog. keys.js loads this script when
// it is first needed, so a field can already contain text.
(() => {
  const OPTION = "[role=option]:not([aria-disabled])", FAILED = "The search failed. Please try again.", MAX_LATEST = 8;
  const ACTIONS = ["#new-chat", "#new-temporary", "#composer .stop:not([hidden])", "#account-menu a", "#ask-help"];
  const all = (selector, parent = document) => [...parent.querySelectorAll(selector)];
  const attach = (field, list, status, close, offer) => {
    const results = document.querySelector(field.getAttribute("hx-target"));
    let chosen;
    const choose = (option) => {
      if (chosen) chosen.ariaSelected = "false";
      chosen = option;
      field.setAttribute("aria-activedescendant", option?.id ?? "");
      if (!option) return;
      option.ariaSelected = "true";
      option.scrollIntoView({ block: "nearest" });
    };
    const update = () => {
      const options = all(OPTION, list);
      options.forEach((option, number) => { option.id = `${list.id}-${number}`; });
      field.ariaExpanded = String(Boolean(list.querySelector("[role=option]")));
      choose(offer && (options.includes(chosen) ? chosen : options[0]));
    };
    const textOf = () => field.value.trim().toLowerCase();
    const show = () => { offer?.(textOf()); update(); };
    const search = () => {
      if (!textOf()) {
        htmx.trigger(field, "htmx:abort");
        results.replaceChildren();
        status.textContent = "";
      }
      show();
    };
    const finish = () => { status.textContent = results.firstElementChild?.dataset.said ?? ""; update(); };
    const clear = () => { field.value = ""; search(); };
    const fail = () => { results.textContent = status.textContent = FAILED; update(); };

    field.role = "combobox";
    field.ariaAutoComplete = "list";
    field.ariaExpanded = "false";
    field.setAttribute("aria-controls", list.id);
    field.addEventListener("input", search);
    field.addEventListener("keydown", (event) => {
      if (event.altKey || event.isComposing || event.keyCode === 229) return;
      const options = all(OPTION, list), step = { ArrowDown: 1, ArrowUp: -1 }[event.key], place = options.indexOf(chosen);
      if (step && options.length) choose(options.at((step < 0 && place < 0 ? place : place + step) % options.length));
      else if (event.key === "Enter" && chosen) chosen.click();
      else if (event.key === "Escape" && offer) close();
      else if (event.key === "Escape" && field.value) clear();
      else return;
      event.preventDefault();
    });
    field.addEventListener("htmx:before:request", (event) => { if (!field.value.trim()) event.preventDefault(); });
    field.addEventListener("htmx:after:swap", finish);
    field.addEventListener("htmx:error", fail);
    field.addEventListener("htmx:after:request", ({ detail }) => { if (detail.ctx.response.status >= 400) fail(); });
    list.addEventListener("click", ({ target }) => { if (target.closest(OPTION)) close(); }, true);
    show();
    if (results.firstElementChild) finish();
    return clear;
  };

  const sidebar = document.getElementById("chats"), hideSidebar = () => { if (sidebar.matches(":popover-open")) sidebar.hidePopover(); };
  const clearSidebar = attach(document.getElementById("search"), document.getElementById("found"), document.getElementById("said"), hideSidebar);

  const palette = document.getElementById("palette"), [actions, latest] = all("[role=group]", palette);
  const option = (source, name) => {
    const element = document.createElement("div");
    element.role = "option";
    element.dir = "auto";
    element.textContent = name;
    element.addEventListener("click", () => source.click());
    return element;
  };
  const offer = (text) => {
    const named = ACTIONS.flatMap((selector) => all(selector)).map((source) => [source, source.title || source.textContent.trim()]);
    const chats = text ? [] : all("#list .chats a:not([aria-current])").slice(0, MAX_LATEST);
    actions.replaceChildren(...named.filter(([, name]) => name.toLowerCase().includes(text)).map((each) => option(...each)));
    latest.replaceChildren(...chats.map((chat) => option(chat, chat.firstElementChild.textContent)));
  };
  const clearPalette = attach(document.getElementById("command"), document.getElementById("choices"), palette.querySelector("[role=status]"), () => palette.close(), offer);
  palette.addEventListener("click", ({ target }) => { if (target === palette) palette.close(); });
  palette.addEventListener("close", clearPalette);
  palette.addEventListener("show", () => { // only one list of results exists at a time
    clearSidebar();
    clearPalette();
  });
})();
