"""The installable app: its manifest, its service worker, and the page it shows offline."""

import orjson
from starlette.responses import Response

from web.rendering.versions import version
from web.state import Request

ICONS = (
    ("icon.svg", "any", "image/svg+xml"),
    ("icon-192.png", "192x192", "image/png"),
    ("icon-512.png", "512x512", "image/png"),
)


async def manifest(request: Request) -> Response:
    static = request.state["templates"].static
    icons = [{"src": static(name), "sizes": sizes, "type": kind} for name, sizes, kind in ICONS]
    icons[-1]["purpose"] = "any maskable"
    identity = {
        "id": "/",
        "name": "Runnel",
        "short_name": "Runnel",
        "description": "Chat with your own model",
        "start_url": "/",
        "scope": "/",
    }
    appearance = {"display": "standalone", "background_color": "#fbfaf8", "theme_color": "#0b6e75", "icons": icons}
    return Response(orjson.dumps(identity | appearance), media_type="application/manifest+json")


async def service_worker(request: Request) -> Response:
    """Its URL is at the root, so that its scope is every page.

    Browsers update it when its text changes, so the text contains the versions of the files it caches.
    """
    templates = request.state["templates"]
    script = templates.html("sw.js", version=version(templates.html("errors/offline.html").encode()))
    return Response(script, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


async def offline(request: Request) -> Response:
    return request.state["templates"].response("errors/offline.html")
