// Keeps style sheet, scripts and drawings, and a page for when there is no network. Never a chat, never anything that was said.
const CACHE = "{{ version }}", OFFLINE = "/offline";

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([OFFLINE, "{{ static('app.css') }}", "{{ static('icon.svg') }}"])));
});

addEventListener("activate", (event) => {
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)))));
});

addEventListener("fetch", (event) => {
  const { request } = event, { pathname, search } = new URL(request.url);
  if (request.method !== "GET") return;
  if (request.destination === "document") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
  else if (pathname.startsWith("/static/") && search) event.respondWith(kept(request));
});

async function kept(request) {
  const cache = await caches.open(CACHE), known = await cache.match(request);
  if (known) return known;
  const response = await fetch(request);
  if (response.ok) await cache.put(request, response.clone());
  return response;
}
