"""The scoring of Mozilla's HTTP Observatory, replayed without its scanner.

After https://github.com/mdn/mdn-http-observatory, commit 94042bb: src/grader/charts.js (what each finding is worth) and
src/analyzer/tests/ (how it is found). Of the parts that need a public host, the preload list is taken as empty and the
certificate as valid.
"""

import re
from collections.abc import Callable
from http.cookies import SimpleCookie

import httpx

FOR_EXTRA_CREDIT = 90
GRADES = {
    100: "A+",
    90: "A",
    85: "A-",
    80: "B+",
    70: "B",
    65: "B-",
    60: "C+",
    50: "C",
    45: "C-",
    40: "D+",
    30: "D",
    25: "D-",
    0: "F",
}
SIX_MONTHS = 15_552_000
BROAD = {"ftp:", "http:", "https:", "*", "http://*", "http://*.*", "https://*", "https://*.*"}
UNSAFE = BROAD | {"'unsafe-inline'", "data:"}
PRIVATE = {"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"}


class Site:
    """The responses that the scanner inspects: the page, the redirect from http, and a response to a foreign Origin.

    The redirect is None without a listener.
    """

    def __init__(
        self, page: httpx.Response, plain: httpx.Response | None, foreign: httpx.Response, cookies: list[str]
    ) -> None:
        self.page, self.plain, self.foreign, self.cookies = page, plain, foreign, cookies

    def header(self, name: str) -> str:
        return str(self.page.headers.get(name, "")).strip()


def csp(site: Site) -> int:
    if not (given := site.header("content-security-policy")):
        return -25
    policy = {words[0].lower(): set(words[1:]) for part in given.split(";") if (words := part.split())}
    script, style, objects = (
        policy.get(name, policy.get("default-src", {"*"})) for name in ("script-src", "style-src", "object-src")
    )
    active = script.union(
        *(sources for name, sources in policy.items() if name not in ("img-src", "media-src", "script-src"))
    )
    passive = {
        source for name in ("img-src", "media-src") for source in policy.get(name, policy.get("default-src", set()))
    }
    if script & UNSAFE or objects & BROAD:
        return -20
    if any(source.startswith(("http:", "ftp:")) for source in active):
        return -20
    if "'unsafe-eval'" in script | style:
        return -10
    if any(source.startswith(("http:", "ftp:")) for source in passive):
        return -10
    if style & UNSAFE:
        return 0
    return 10 if policy.get("default-src") == {"'none'"} else 5


def cookies(site: Site) -> int:
    worst, same_site = 5, True
    for given in site.cookies:
        for name, cookie in SimpleCookie(given).items():
            about_session = any(word in name.lower() for word in ("login", "sess"))
            protected = hsts(site) >= 0
            if not cookie["secure"]:
                worst = min(worst, (-10 if protected else -40) if about_session else (-5 if protected else -20))
            if cookie["samesite"].lower() not in ("", "strict", "lax"):
                worst = min(worst, -20)
            if about_session and not cookie["httponly"]:
                worst = min(worst, -30)
            same_site = same_site and bool(cookie["samesite"])
    if not site.cookies:
        return 0
    return worst if worst < 0 or same_site else 0


def cors(site: Site) -> int:
    response = site.foreign
    allowed, origin = response.headers.get("access-control-allow-origin", ""), response.request.headers["origin"]
    return -50 if allowed == origin and response.headers.get("access-control-allow-credentials", "") == "true" else 0


def redirection(site: Site) -> int:
    if site.plain is None:
        return 0
    place = httpx.URL(site.plain.headers.get("location", ""))
    if not site.plain.is_redirect:
        return -20
    if place.scheme != "https":
        return -10
    return 0 if place.host == site.plain.request.url.host else -5


def referrer(site: Site) -> int:
    known = [each for each in map(str.strip, site.header("referrer-policy").lower().split(",")) if each]
    return 0 if not known else 5 if known[-1] in PRIVATE else -5


def hsts(site: Site) -> int:
    found = re.search(r"max-age=(\d+)", site.header("strict-transport-security"))
    return (
        -20
        if not found or "," in site.header("strict-transport-security")
        else 0
        if int(found[1]) >= SIX_MONTHS
        else -10
    )


def scripts(site: Site) -> int:
    """Subresource integrity: scripts of the same origin do not need it."""
    foreign = re.findall(r"<script[^>]*src=\"?((?:https?:)?//[^\"> ]+)", site.page.text)
    return -5 if foreign else 0


def sniffing(site: Site) -> int:
    return 0 if site.header("x-content-type-options").lower() == "nosniff" else -5


def frames(site: Site) -> int:
    if "frame-ancestors" in site.header("content-security-policy"):
        return 5
    return 5 if site.header("x-frame-options").lower() in ("deny", "sameorigin") else -20


def resources(site: Site) -> int:
    policy = site.header("cross-origin-resource-policy").lower()
    return 10 if policy in ("same-origin", "same-site") else 0 if policy in ("", "cross-origin") else -5


def opener(site: Site) -> int:
    policy = site.header("cross-origin-opener-policy")
    safe = ("same-origin", "same-origin-allow-popups", "noopener-allow-popups")
    return 10 if policy in safe else 0 if policy in ("", "unsafe-none") else -5


def embedder(site: Site) -> int:
    policy = site.header("cross-origin-embedder-policy")
    return 10 if policy in ("require-corp", "credentialless") else 0 if policy in ("", "unsafe-none") else -5


TESTS: tuple[Callable[[Site], int], ...] = (
    csp,
    cookies,
    cors,
    redirection,
    referrer,
    hsts,
    scripts,
    sniffing,
    frames,
    resources,
    opener,
    embedder,
)


def graded(site: Site) -> tuple[int, str, dict[str, int]]:
    """Returns score, grade, and the points of each test. Extra credit counts only from FOR_EXTRA_CREDIT points on."""
    found = {test.__name__: test(site) for test in TESTS}
    score = 100 + sum(worth for worth in found.values() if worth < 0)
    if score >= FOR_EXTRA_CREDIT:
        score += sum(worth for worth in found.values() if worth > 0)
    score = max(score, 0)
    return score, next(grade for least, grade in GRADES.items() if score >= least), found
