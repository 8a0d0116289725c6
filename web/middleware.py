"""Checks of every request's host and origin, and security headers for every response."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = {"localhost", "127.0.0.1"}
SAFE_METHODS = {"GET", "HEAD"}
HEALTH = {"/healthz", "/readyz", "/metrics"}  # health checks use an IP address as host

OTHER_HOST = "This server does not serve this host name. If you run it: set PUBLIC_URL to the address that you open.\n"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; "
    "frame-ancestors {ancestors}; require-trusted-types-for 'script'; trusted-types app"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(ancestors="'none'"),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), display-capture=(), browsing-topics=()"
    ),
}
FRAMED = {  # for an answer's stream as HTML: without JavaScript, the chat page shows it in a frame
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(ancestors="'self'"),
    "X-Frame-Options": "SAMEORIGIN",
}
STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"


class SecurityHeaders:
    """Adds headers to every response, including those of other middleware and error handlers."""

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
    """Prevents DNS rebinding: a request for another host gets 421, a malformed Host header 400."""

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
            return await PlainTextResponse(OTHER_HOST, 421)(scope, receive, send)
        return await self.app(scope, receive, send)


class SameOrigin:
    """Prevents cross-site request forgery: only our own pages may send requests that change something.

    It checks Sec-Fetch-Site if the browser sends it, else Origin. A request without both must not have a cookie.
    """

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self.app, self.origin = app, origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_change = scope["type"] == "http" and scope["method"] not in SAFE_METHODS
        if is_change and not self._allowed(Headers(scope=scope)):
            message = "This request did not come from a page of this site. Nothing was changed.\n"
            return await PlainTextResponse(message, 403)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _allowed(self, headers: Headers) -> bool:
        sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
        if sites:
            return len(sites) == 1 and sites[0] in ("same-origin", "none")
        if origins:
            return len(origins) == 1 and (
                origins[0] == self.origin or self._is_local(origins[0], headers.get("host", ""))
            )
        return "cookie" not in headers

    def _is_local(self, origin: str, host: str) -> bool:
        """http://localhost:8080 and http://127.0.0.1:8080 are the same server, whichever PUBLIC_URL names."""
        return origin == f"http://{host}" and _hostname(host) in LOCAL


def _hostname(host: str) -> str | None:
    """The name in a Host header, without its port; None if the header is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return None
    is_malformed = parts.netloc != host or any(character in host for character in "@ \t/\\?#")
    if not parts.hostname or is_malformed:
        return None
    return parts.hostname.lower() if port is None or port > 0 else None
