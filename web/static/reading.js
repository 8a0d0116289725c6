"use strict";

// Scrolling: the page follows a growing answer as long as the reader is at the end.
(() => {
  const newest = document.getElementById("newest"), page = document.scrollingElement, NEAR_PIXELS = 60, TOLERANCE_PIXELS = 2;
  const distanceToEnd = () => page.scrollHeight - page.scrollTop - innerHeight;
  let following = true, lastTop = 0;
  const scrollToEnd = () => { page.scrollTop = page.scrollHeight; };
  const follow = () => { following = true; newest.hidden = true; scrollToEnd(); };
  const showButton = () => { newest.hidden = following || distanceToEnd() <= NEAR_PIXELS; };
  const stayAtEnd = () => { if (following) scrollToEnd(); else showButton(); };
  addEventListener("scroll", () => {
    const distance = distanceToEnd();
    if (distance > TOLERANCE_PIXELS && page.scrollTop < lastTop - TOLERANCE_PIXELS) following = false;
    else if (distance <= NEAR_PIXELS && (distance <= TOLERANCE_PIXELS || page.scrollTop > lastTop)) following = true;
    lastTop = page.scrollTop;
    showButton();
  }, { passive: true });
  document.addEventListener("htmx:sse:after:message", ({ target }) => { if (target.matches(".message")) stayAtEnd(); }); // before the browser paints the new text
  new ResizeObserver(stayAtEnd).observe(document.querySelector("main"));
  newest.addEventListener("click", () => { follow(); document.getElementById("content").focus({ preventScroll: true }); });
  document.addEventListener("turn", follow);
  if (location.hash) following = distanceToEnd() <= NEAR_PIXELS;
  else follow();

  // Another version of a message: its buttons stay where they are.
  let pager;
  document.addEventListener("htmx:before:request", ({ detail }) => {
    const source = detail.ctx?.sourceElement;
    pager = source?.closest(".versions") && { id: source.id, top: source.getBoundingClientRect().top };
    if (pager) following = false;
  });
  document.addEventListener("htmx:after:swap", () => {
    const button = pager && document.getElementById(pager.id);
    if (button) page.scrollTop += button.getBoundingClientRect().top - pager.top;
    pager = null;
  });
})();

// Copying a message or a code block. The buttons for code are on the block under the pointer, else on the first visible one.
(() => {
  const tools = document.getElementById("code"), [wrap, copyButton] = tools.querySelectorAll("button"), status = document.getElementById("said"), BAR_PIXELS = 48, HEIGHT_PIXELS = 40;
  let code, pointed;
  const copySelected = (text) => { // browsers have no clipboard over plain HTTP
    const field = document.createElement("textarea"), focused = document.activeElement;
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    focused?.focus({ preventScroll: true });
  };
  const copy = async (text, label, button) => {
    if (navigator.clipboard) await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
    else copySelected(await text);
    status.textContent = "";
    setTimeout(() => { status.textContent = `${label} copied`; }, 50); // a separate change, so that screen readers announce it again
    button?.classList.add("copied");
    setTimeout(() => button?.classList.remove("copied"), 1500);
  };
  const copyCode = (block) => copy(block.textContent, "Code", copyButton);
  const sourceOf = async (article) => { // an answer's Markdown, with formulas as LaTeX
    const shown = article.querySelector(".content").innerText, url = `${location.pathname}/messages/${article.id.slice(8)}/stream`;
    const response = article.matches(".assistant") && await fetch(url, { headers: { Accept: "text/plain" } }).catch(() => null);
    return response?.ok ? response.text() : shown;
  };
  const isInSight = (block) => {
    const { top, bottom } = block.getBoundingClientRect();
    return bottom > BAR_PIXELS + HEIGHT_PIXELS && top < innerHeight - HEIGHT_PIXELS;
  };
  const place = () => {
    code = pointed?.isConnected && isInSight(pointed) ? pointed : [...document.querySelectorAll(".content pre")].find(isInSight);
    tools.hidden = !code;
    if (!code) return;
    const { top, left, width } = code.getBoundingClientRect(), row = tools.firstElementChild;
    tools.style.transform = `translate(${left + scrollX}px, ${Math.max(top, BAR_PIXELS) + scrollY}px)`; // no layout shift
    row.style.width = `${width}px`;
    row.classList.toggle("above", top < BAR_PIXELS); // the label of the block is out of sight
    row.dataset.language = code.firstElementChild?.className.slice(9) ?? "";
  };
  const point = ({ target }) => {
    const block = target.closest?.(".content pre");
    if (block && block !== pointed) { pointed = block; place(); }
  };
  const showTimes = () => document.querySelectorAll("time:not([title])").forEach((time) => { // in the reader's time zone
    const date = new Date(time.dateTime), isToday = date.toDateString() === new Date().toDateString();
    time.title = date.toLocaleString();
    time.textContent = date.toLocaleString([], isToday ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
  });
  const showCopyButtons = () => {
    showTimes();
    document.querySelectorAll("button.copy[hidden]").forEach((button) => { button.hidden = false; });
    place();
  };
  document.addEventListener("pointerover", point);
  document.addEventListener("focusin", point);
  document.addEventListener("htmx:sse:after:message", place);
  addEventListener("scroll", place, { passive: true });
  addEventListener("resize", place);
  copyButton.addEventListener("click", () => copyCode(code));
  const wrapLines = (on) => {
    document.body.classList.toggle("wrapped", on);
    wrap.ariaPressed = on;
    localStorage.wrap = on ? "on" : "";
  };
  wrap.addEventListener("click", () => { wrapLines(!document.body.matches(".wrapped")); place(); });
  wrapLines(Boolean(localStorage.wrap));
  document.addEventListener("keydown", (event) => {
    const focused = document.activeElement;
    if ((event.ctrlKey || event.metaKey) && event.code === "KeyC" && focused.matches(".content pre") && getSelection().isCollapsed) copyCode(focused);
  });
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button.copy");
    if (button) copy(sourceOf(button.closest("article")), "Message", button);
  });
  document.addEventListener("htmx:after:swap", showCopyButtons);
  document.addEventListener("htmx:sse:close", showCopyButtons);
  showCopyButtons();
})();
