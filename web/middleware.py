"""What is refused before anything else happens, and the headers that every answer carries."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = {"localhost", "127.0.0.1"}
SAFE_METHODS = {"GET", "HEAD"}
HEALTH = {"/healthz", "/readyz", "/metrics"}  # asked by address, not by name

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors {ancestors}; "
    "require-trusted-types-for 'script'; trusted-types app"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(ancestors="'none'"),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), display-capture=(), browsing-topics=()",
}
FRAMED = {  # only the stream's HTML, which our own page shows in a frame when there is no JavaScript
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(ancestors="'self'"),
    "X-Frame-Options": "SAMEORIGIN",
}
STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"


class SecurityHeaders:
    """On every answer, also those of the layers below."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self.app = app
        self.headers = HEADERS | ({"Strict-Transport-Security": STRICT_TRANSPORT} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Cache-Control", "no-store")
                    headers.setdefault("Vary", "HX-Request, Cookie")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class AllowedHosts:
    """Answers only to its own names, which stops DNS rebinding: 421 otherwise, 400 for what is no host name at all."""

    def __init__(self, app: ASGIApp, hostname: str) -> None:
        self.app, self.names = app, LOCAL | {hostname.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            return await self.app(scope, receive, send)
        hosts = Headers(scope=scope).getlist("host")
        name = _hostname(hosts[0]) if len(hosts) == 1 else None
        if name is None:
            return await PlainTextResponse("Bad request.\n", 400)(scope, receive, send)
        if name not in self.names:
            return await PlainTextResponse("This server does not answer to that name.\n", 421)(scope, receive, send)
        return await self.app(scope, receive, send)


class SameOrigin:
    """Cross-site request forgery: whoever changes something must come from our own pages.

    By Sec-Fetch-Site where the browser sends it, else by Origin; with neither, only without a cookie.
    """

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self.app, self.origin = app, origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not self._allowed(Headers(scope=scope)):
            sentence = "This request did not come from our own page, so nothing was changed.\n"
            return await PlainTextResponse(sentence, 403)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _allowed(self, headers: Headers) -> bool:
        sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
        if sites:
            return len(sites) == 1 and sites[0] in ("same-origin", "none")
        if origins:
            return len(origins) == 1 and (origins[0] == self.origin or self._is_local(origins[0], headers.get("host", "")))
        return "cookie" not in headers

    def _is_local(self, origin: str, host: str) -> bool:
        """http://localhost:8080 is another name of http://127.0.0.1:8080, and as much ours."""
        return origin == f"http://{host}" and _hostname(host) in LOCAL


def _hostname(host: str) -> str | None:
    """The name in a Host header, without its port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.netloc != host or "@" in host or any(character in host for character in " \t/\\?#"):
        return None
    return parts.hostname.lower() if port is None or port > 0 else None
