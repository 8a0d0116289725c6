"use strict";

// Screen readers: announces each sentence of a running answer once, when it is complete.
(() => {
  const region = document.getElementById("announcer"), PAUSE_MS = 1000, MAX_LINES = 20, SENTENCE_ENDS = /[.!?…]["'”’)\]]*\s|[。！？]/g;
  const positions = new WeakMap(), states = new WeakMap(), timers = new WeakMap();
  const mode = () => localStorage.getItem("announce") ?? "sentences";
  const announce = (text) => {
    const line = document.createElement("p");
    line.textContent = text;
    region.append(line);
    while (region.childElementCount > MAX_LINES) region.firstChild.remove();
  };
  const takeNewText = (article, ended) => {
    const blocks = [...article.querySelectorAll(".content > :not(.tail), .content > .tail > *")], parts = [];
    let { block, characters } = positions.get(article) ?? { block: 0, characters: 0 };
    for (; block < blocks.length; block++, characters = 0) {
      const isOpen = !ended && block === blocks.length - 1, element = blocks[block], text = element.textContent;
      if (element.matches("pre")) {
        if (isOpen) break;
        const lines = text.trimEnd().split("\n").length;
        parts.push(`Code, ${lines} line${lines > 1 ? "s" : ""}.`);
        continue;
      }
      const ends = [...text.matchAll(SENTENCE_ENDS)].map((match) => match.index + match[0].length);
      const end = isOpen ? Math.max(characters, ...ends) : text.length;
      parts.push(text.slice(characters, end));
      if (isOpen) { characters = end; break; }
    }
    positions.set(article, { block, characters });
    return parts.join(" ").replace(/\s+/g, " ").trim();
  };
  const announceNewText = (article, ended) => {
    clearTimeout(timers.get(article));
    timers.delete(article);
    announceState(article);
    const text = takeNewText(article, ended);
    if (text && mode() === "sentences") announce(text);
  };
  const announceState = (article) => {
    const state = article.querySelector(".progress")?.textContent.trim();
    if (state && state !== states.get(article) && mode() !== "off") announce(state);
    states.set(article, state);
  };
  document.addEventListener("htmx:sse:after:connection", ({ target }) => {
    announceState(target);
    if (!positions.has(target)) takeNewText(target); // earlier text is read as part of the page
  });
  document.addEventListener("htmx:sse:after:message", ({ target, detail }) => {
    if (!detail.message.event && !timers.has(target)) timers.set(target, setTimeout(announceNewText, PAUSE_MS, target));
  });
  document.addEventListener("done", ({ target }) => {
    announceNewText(target, true);
    const reason = target.querySelector(".outcome summary, span.outcome")?.textContent;
    if (mode() !== "off") announce(reason ?? "The answer is finished.");
  });
})();
