"use strict";

// A temporary chat is deleted soon after its page was left. A reload leaves the page, too: then the new page reports that
// the chat is open again, and so does any visible page of the chat that learns of a change. A page may be left while its
// report is on its way, so a page has a number, and the report of the page that was left last does not count. A hidden
// window of the chat receives no changes, so the page that was left tells it. A browser may lose the message of a page
// that is left for another chat, so that chat's page sends it, too (chats.js).
(() => {
  const AFTER_LEAVING_MS = 1000; // the message of the page before this one is on its way
  const path = () => document.getElementById("temporary").dataset.chat;
  const windows = new BroadcastChannel("temporary");
  let page = 0;
  const leaving = () => `${path()}/leave?page=${page}`;
  const report = () => { if (path()) fetch(`${path()}/return?page=${page}`, { method: "POST" }).catch(() => {}); };
  addEventListener("pagehide", () => {
    if (!path()) return;
    navigator.sendBeacon(leaving());
    windows.postMessage(path());
  });
  windows.addEventListener("message", ({ data }) => { if (data === path()) setTimeout(report, AFTER_LEAVING_MS); });
  addEventListener("pageshow", () => {
    page = 1 + Math.floor(Math.random() * 999999);
    if (path()) sessionStorage.setItem("temporary", leaving());
    setTimeout(report, AFTER_LEAVING_MS);
  });
  document.addEventListener("changed", ({ detail }) => { if (page && path()?.endsWith(JSON.parse(detail.data).chat)) report(); });
})();
