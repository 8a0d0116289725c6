{# Caches static files, and a page to show offline. Never caches chats or messages. #}
const CACHE = "{{ version }}", OFFLINE = "/offline";

addEventListener("install", (event) => {
  skipWaiting();
  const files = ["{{ static('app.css') }}", "{{ static('icon.svg') }}"].map((file) => fromCache(new Request(file)));
  event.waitUntil(Promise.all([caches.open(CACHE).then((cache) => cache.add(OFFLINE)), ...files]));
});

addEventListener("activate", (event) => {
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)))));
});

addEventListener("fetch", (event) => {
  const { request } = event, { pathname, search } = new URL(request.url);
  if (request.method !== "GET") return;
  if (request.destination === "document") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
  else if (pathname.startsWith("/static/") && search) event.respondWith(fromCache(request));
});

async function fromCache(request) {
  const cache = await caches.open(CACHE), cached = await cache.match(request);
  if (cached) return cached;
  const response = await fetch(request);
  {# An old process sends its own file for a new version, but not as immutable #}
  if (response.ok && response.headers.get("Cache-Control")?.includes("immutable")) await cache.put(request, response.clone());
  return response;
}
