"use strict";

// The page follows the answer only while its reader is at the end.
(() => {
  const newest = document.getElementById("newest"), page = document.scrollingElement, NEAR = 60;
  const distance = () => page.scrollHeight - page.scrollTop - innerHeight;
  let following = true, last = 0;
  const end = () => { page.scrollTop = page.scrollHeight; };
  const follow = () => { following = true; newest.hidden = true; end(); };
  addEventListener("scroll", () => {
    if (distance() <= NEAR) following = true;
    else if (page.scrollTop < last - 2) following = false;
    last = page.scrollTop;
    newest.hidden = following;
  }, { passive: true });
  const stay = () => { if (following) end(); };
  document.addEventListener("htmx:sse:after:message", stay); // before anything is painted a line too low
  new ResizeObserver(stay).observe(document.querySelector("main"));
  newest.addEventListener("click", () => { follow(); document.getElementById("content").focus({ preventScroll: true }); });
  document.addEventListener("turn", follow);
  if (location.hash) following = distance() <= NEAR;
  else follow();
})();

// Copying a message or a block of code.
const copy = (() => {
  const tools = document.getElementById("code"), said = document.getElementById("said");
  let code;
  const copy = async (text, what, button) => {
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
    said.textContent = "";
    setTimeout(() => { said.textContent = `${what} copied`; }, 50);
    button?.classList.add("copied");
    setTimeout(() => button?.classList.remove("copied"), 1500);
  };
  const written = async (article) => { // by the model: Markdown, and formulas as LaTeX
    const shown = article.querySelector(".content").innerText, from = `${location.pathname}/messages/${article.id.slice(8)}/stream`;
    const answer = article.matches(".assistant") && await fetch(from, { headers: { Accept: "text/plain" } }).catch(() => null);
    return answer?.ok ? answer.text() : shown;
  };
  const reveal = ({ target }) => {
    const found = target.closest?.(".content pre");
    if (!found) { if (!target.closest?.("#code")) tools.hidden = true; return; }
    code = found;
    const { top, right } = code.getBoundingClientRect();
    tools.hidden = false;
    tools.style.top = `${top + scrollY}px`;
    tools.style.left = `${right + scrollX}px`;
  };
  document.addEventListener("pointerover", reveal);
  document.addEventListener("focusin", reveal);
  tools.addEventListener("click", () => copy(code.textContent, "Code", tools.firstElementChild));
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.code === "KeyC" && document.activeElement.matches(".content pre") && getSelection().isCollapsed) {
      copy(document.activeElement.textContent, "Code", tools.firstElementChild);
    }
  });
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button.copy");
    if (button) copy(written(button.closest("article")), "Message", button);
  });
  const offer = () => document.querySelectorAll("button.copy[hidden]").forEach((button) => { button.hidden = !navigator.clipboard; });
  document.addEventListener("htmx:after:swap", offer);
  document.addEventListener("htmx:sse:close", offer);
  offer();
  return copy;
})();

// What a screen reader is told of a running answer: each sentence once, when it is finished.
(() => {
  const region = document.getElementById("announcer"), PAUSE = 1000, LINES = 20, ENDS = /[.!?…]["'”’)\]]*\s|[。！？]/g;
  const said = new WeakMap(), states = new WeakMap(), waiting = new WeakMap();
  const mode = () => localStorage.getItem("announce") ?? "sentences";
  const say = (text) => {
    const line = document.createElement("p");
    line.textContent = text;
    region.append(line);
    while (region.childElementCount > LINES) region.firstChild.remove();
  };
  const news = (article, ended) => {
    const blocks = [...article.querySelectorAll(".content > :not(.tail), .content > .tail > *")], parts = [];
    let { block, characters } = said.get(article) ?? { block: 0, characters: 0 };
    for (; block < blocks.length; block++, characters = 0) {
      const isOpen = !ended && block === blocks.length - 1, element = blocks[block], text = element.textContent;
      if (element.matches("pre")) {
        if (isOpen) break;
        parts.push(`Code, ${text.trimEnd().split("\n").length} lines.`);
        continue;
      }
      const end = isOpen ? Math.max(characters, ...[...text.matchAll(ENDS)].map((match) => match.index + match[0].length)) : text.length;
      parts.push(text.slice(characters, end));
      if (isOpen) { characters = end; break; }
    }
    said.set(article, { block, characters });
    return parts.join(" ").replace(/\s+/g, " ").trim();
  };
  const tell = (article, ended) => {
    clearTimeout(waiting.get(article));
    waiting.delete(article);
    tellState(article);
    const text = news(article, ended);
    if (text && mode() === "sentences") say(text);
  };
  const tellState = (article) => {
    const state = article.querySelector(".progress")?.textContent.trim();
    if (state && state !== states.get(article) && mode() !== "off") say(state);
    states.set(article, state);
  };
  document.addEventListener("htmx:sse:after:connection", ({ target }) => {
    tellState(target);
    if (!said.has(target)) news(target); // what was there before is read as any other text
  });
  document.addEventListener("htmx:sse:after:message", ({ target, detail }) => {
    if (!detail.message.event && !waiting.has(target)) waiting.set(target, setTimeout(tell, PAUSE, target));
  });
  document.addEventListener("done", ({ target, detail }) => {
    tell(target, true);
    const reason = target.querySelector(".outcome")?.textContent;
    if (mode() !== "off") say(reason ?? "The answer is finished.");
  });
})();
