"use strict";

// A temporary chat is deleted soon after its page was left. A reload leaves the page, too: then the new page reports that
// the chat is open again, and so does any visible page of the chat that learns of a change.
(() => {
  const AFTER_LEAVING_MS = 1000; // the message of the page before this one is on its way
  const path = () => document.getElementById("temporary").dataset.chat;
  const report = () => { if (path()) fetch(`${path()}/return`, { method: "POST" }).catch(() => {}); };
  addEventListener("pagehide", () => { if (path()) navigator.sendBeacon(`${path()}/leave`); });
  addEventListener("pageshow", () => setTimeout(report, AFTER_LEAVING_MS));
  document.addEventListener("changed", ({ detail }) => { if (path()?.endsWith(JSON.parse(detail.data).chat)) report(); });
})();
