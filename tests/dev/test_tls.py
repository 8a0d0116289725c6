"""HTTPS at the public nginx: HTTP/2, modern TLS versions only, and redirects from plain HTTP."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trustme

from dev import ports, settings
from kit.settings import SettingsError
from tests.dev.public_nginx import SECURITY_HEADERS, STREAM, Upstream, public_nginx
from tests.stack import PATIENCE_SECONDS

EVENT = b"data: x\n\n"


class Certificate:
    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "chat.example")
        self.tls_port = ports.free()
        self.origin = f"https://127.0.0.1:{self.tls_port}"
        self.environ = {
            "TLS_CERTIFICATE": str(folder / "full chain.pem"),
            "TLS_KEY": str(folder / "key.pem"),
            "TLS_PORT": str(self.tls_port),
            "PUBLIC_URL": self.origin,
            "DATA_DIR": str(folder),
        }
        certificate.private_key_pem.write_to_path(self.environ["TLS_KEY"])
        Path(self.environ["TLS_CERTIFICATE"]).write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)

    def browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.origin, verify=self.trust, http2=True, trust_env=False, timeout=PATIENCE_SECONDS
        )


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


@pytest.fixture
async def browser(certificate: Certificate) -> AsyncIterator[httpx.AsyncClient]:
    async with certificate.browser() as browser:
        yield browser


async def test_pages_and_streams_use_http_2(certificate: Certificate, browser: httpx.AsyncClient) -> None:
    async with public_nginx(Upstream(), log=None, **certificate.environ):
        page = await browser.get("/")
    async with (
        public_nginx(Upstream(content_type="text/event-stream", body=EVENT), log=None, **certificate.environ),
        certificate.browser() as another,
        another.stream("GET", STREAM) as stream,
    ):
        first = await anext(stream.aiter_raw())

    assert (page.http_version, page.status_code) == ("HTTP/2", 200)
    assert page.json()["host"] == f"127.0.0.1:{certificate.tls_port}"
    assert page.json()["x-forwarded-proto"] == "https"
    assert (stream.http_version, first) == ("HTTP/2", EVENT)


async def test_error_pages_of_nginx_have_the_security_headers_of_web(
    certificate: Certificate, browser: httpx.AsyncClient
) -> None:
    async with public_nginx(Upstream("down"), log=None, **certificate.environ):
        response = await browser.get("/")

    assert response.status_code == 502
    assert SECURITY_HEADERS.items() <= dict(response.headers).items()
    assert response.headers["strict-transport-security"].startswith("max-age=31536000")


async def test_plain_http_is_redirected_to_the_same_path_on_https(certificate: Certificate) -> None:
    upstream = Upstream()
    async with public_nginx(upstream, log=None, **certificate.environ) as client:
        page = await client.get("/chats/1?after=2")
        post = await client.post("/chats", data={"username": "ada"}, headers={"Host": "evil.example"})

    assert (page.status_code, page.headers["location"]) == (308, f"{certificate.origin}/chats/1?after=2")
    assert (post.status_code, post.headers["location"]) == (308, f"{certificate.origin}/chats")
    assert upstream.requests == []


async def test_health_and_acme_challenges_work_on_plain_http(certificate: Certificate, tmp_path: Path) -> None:
    challenges = tmp_path / "acme" / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "token").write_text("token.thumbprint")

    async with public_nginx(Upstream(), log=None, **certificate.environ) as client:
        ready = await client.get("/readyz")
        challenge = await client.get("/.well-known/acme-challenge/token")
        missing = await client.get("/.well-known/acme-challenge/other")
        outside = await client.get("/.well-known/acme-challenge/../../../key.pem")

    assert (ready.status_code, challenge.text, missing.status_code) == (200, "token.thumbprint", 404)
    assert "PRIVATE KEY" not in outside.text


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize(("version", "accepted"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
async def test_old_versions_of_tls_are_refused(certificate: Certificate, version: str, accepted: bool) -> None:
    certificate.trust.minimum_version = certificate.trust.maximum_version = ssl.TLSVersion[version]
    certificate.trust.set_ciphers("DEFAULT@SECLEVEL=0")  # otherwise the client side refuses old versions itself
    async with public_nginx(Upstream(), log=None, **certificate.environ), certificate.browser() as browser:
        try:
            accepted_by_nginx = (await browser.get("/")).status_code == 200
        except httpx.ConnectError:
            accepted_by_nginx = False

    assert accepted_by_nginx == accepted


async def test_without_a_certificate_only_plain_http_is_served() -> None:
    port = ports.free()
    async with public_nginx(Upstream(), TLS_PORT=str(port)) as client, httpx.AsyncClient(trust_env=False) as other:
        page = await client.get("/")
        with pytest.raises(httpx.ConnectError):
            await other.get(f"http://127.0.0.1:{port}/")

    assert page.status_code == 200
    assert "strict-transport-security" not in page.headers


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TLS_CERTIFICATE": "a.pem"}, "TLS_KEY"),
        ({"TLS_CERTIFICATE": "a.pem", "TLS_KEY": "b.pem", "PUBLIC_URL": "http://chat.example"}, "https://"),
    ],
)
def test_incomplete_tls_settings_are_refused_with_a_message(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings.read(environ)


def test_with_a_certificate_the_public_url_is_https() -> None:
    given = settings.read({"TLS_CERTIFICATE": "~/a.pem", "TLS_KEY": "b.pem", "TLS_PORT": "9443"})

    assert given.public_url == "https://127.0.0.1:9443"
    assert given.tls_certificate == str(Path.home() / "a.pem")


async def test_only_a_trusted_proxy_can_set_the_client_address() -> None:
    headers = {"X-Forwarded-For": "9.9.9.9, 198.51.100.7"}
    async with public_nginx(Upstream(), TRUSTED_PROXIES="10.0.0.0/8 127.0.0.1") as client:
        trusted = await client.get("/", headers=headers)
    async with public_nginx(Upstream(), TRUSTED_PROXIES="10.0.0.0/8") as client:
        stranger = await client.get("/", headers=headers)

    assert trusted.json()["x-forwarded-for"] == "198.51.100.7"
    assert stranger.json()["x-forwarded-for"] == "127.0.0.1"


async def test_metrics_are_not_served_to_the_outside() -> None:
    upstream = Upstream()
    async with public_nginx(upstream) as client:
        codes = [
            (await client.get(path)).status_code for path in ("/metrics", "/x/../metrics", "/%6detrics", "/metrics?x=1")
        ]

    assert codes == [404] * 4
    assert upstream.requests == []
