"""Caching of the static files: only the content that a URL names is kept for ever."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.stack import ROOT, Stack, client
from tests.web.dom import parse
from tests.web.visitor import Visitor
from web.rendering import script, style


@pytest.mark.parametrize("name", ["app.css", "page.js", "htmx.min.js", "noscript.css", "icon.svg"])
async def test_versioned_static_files_are_cached_forever(visitor: Visitor, name: str) -> None:
    content = style.content() if name == style.NAME else (ROOT / "web" / "static" / name).read_bytes()
    version = hashlib.sha256(content).hexdigest()[:10]
    queries = [f"v={version}", "", "v=1", "v=", f"v={version}0", f"v={version.upper()}x", f"v={version}&v=1"]

    responses = [await visitor.http.get(f"/static/{name}?{query}") for query in queries]
    again = await visitor.http.get(f"/static/{name}", headers={"If-None-Match": responses[1].headers["etag"]})

    assert [response.status_code for response in responses] == [200] * len(queries)
    assert [response.headers["cache-control"] for response in responses] == [
        "public, max-age=31536000, immutable",
        "no-cache",
        *["no-store"] * 5,
    ]
    assert "set-cookie" not in responses[0].headers
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


async def test_two_versions_side_by_side_never_send_a_file_as_the_other_version(stack: Stack, tmp_path: Path) -> None:
    for package in ("web", "kit"):
        shutil.copytree(ROOT / package, tmp_path / package)
    style = tmp_path / "web" / "static" / "app.css"
    times = style.stat()
    style.write_bytes(style.read_bytes().replace(b"0", b"1"))  # of the same size
    os.utime(style, ns=(times.st_atime_ns, times.st_mtime_ns))
    new = await stack.web()
    old = stack._service("web", "web", **new.environ)
    old.environ["WEB_PORT"], old.source = str(old.port), tmp_path
    await old.start()
    try:
        responses = {}
        for page_of in (new, old):
            async with client(page_of.url) as http:
                links = parse((await http.get("/")).text).matching("link")
                (address,) = [link.attributes["href"] for link in links if "app.css" in link.attributes["href"]]
            for served_by in (new, old):
                async with client(served_by.url) as http:
                    responses[page_of is served_by, served_by is new] = await http.get(address)
        etags = [responses[True, is_new].headers["etag"] for is_new in (True, False)]
        async with client(new.url) as http:
            changed = await http.get("/static/app.css", headers={"If-None-Match": etags[1]})
    finally:
        await stack.leave(old)
        await stack.leave(new)

    for (is_same, is_new), response in responses.items():
        assert response.content == responses[True, is_new].content
        assert ("immutable" in response.headers["cache-control"]) == is_same
        assert is_same or response.headers["cache-control"] == "no-store"
    assert responses[True, True].content != responses[True, False].content
    assert etags[0] != etags[1]
    assert changed.status_code == 200


def test_the_style_sheet_is_sent_without_comments_and_spaces() -> None:
    sheet = b"""/* one: {} */
    @media (min-width: 60rem) {
      .a :is(b, c) > d, .e { color: light-dark(#fff, #000); width: calc(100% - 1rem); }  /* two
      lines */
      .f::after { content: " Waiting \xe2\x80\xa6"; }
    }
    """

    assert style.minified(sheet) == (
        b"@media (min-width:60rem){.a :is(b,c) > d,.e{color:light-dark(#fff,#000);width:calc(100% - 1rem);}"
        b'.f::after{content:" Waiting \xe2\x80\xa6";}}'
    )


def test_the_strings_of_the_style_sheet_survive() -> None:
    """What a string may contain is limited: see minified."""
    sheet = (script.STATIC / style.NAME).read_bytes()
    without_comments = re.sub(rb"/\*.*?\*/", b"", sheet, flags=re.DOTALL)

    strings = re.findall(rb'"[^"]*"', without_comments)

    assert len(strings) > 10
    assert [string for string in strings if string not in style.content()] == []
    assert len(style.content()) < len(sheet) * 0.9


def test_the_script_of_the_page_has_no_comments() -> None:
    lines = script.content().decode().splitlines()

    assert len(lines) > 300
    assert [line for line in lines if " // " in line or line.lstrip().startswith("//")] == []
