"""What makes Runnel an app of its own on a phone or a desktop: its manifest, its service worker, and the page shown offline."""

import hashlib

import orjson
from starlette.requests import Request
from starlette.responses import Response

from web.rendering.templates import Pages

ICONS = ("icon.svg", "any", "image/svg+xml"), ("icon-192.png", "192x192", "image/png"), ("icon-512.png", "512x512", "image/png")


async def manifest(request: Request) -> Response:
    pages: Pages = request.state["pages"]
    icons = [{"src": pages.static(name), "sizes": sizes, "type": kind} for name, sizes, kind in ICONS]
    icons[-1]["purpose"] = "any maskable"
    about = {
        "id": "/",
        "name": "Runnel",
        "short_name": "Runnel",
        "description": "A chat with your own model",
        "start_url": "/",
        "scope": "/",
    }
    look = {"display": "standalone", "background_color": "#fbfaf8", "theme_color": "#0b6e75", "icons": icons}
    return Response(orjson.dumps(about | look), media_type="application/manifest+json")


async def service_worker(request: Request) -> Response:
    """From the root, so that it may look after every page. Its text changes with what it keeps, so browsers notice."""
    pages: Pages = request.state["pages"]
    page = pages.html("errors/offline.html")
    version = hashlib.sha256(page.encode()).hexdigest()[:10]
    return Response(pages.html("sw.js", version=version), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


async def offline(request: Request) -> Response:
    return request.state["pages"].answer(request, "errors/offline.html")  # type: ignore[no-any-return]
