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
from web.rendering.assets import FILES, content


@pytest.mark.parametrize("name", ["devices.css", "page.js", "htmx.min.js", "noscript.css", "icon.svg"])
async def test_versioned_static_files_are_cached_forever(visitor: Visitor, name: str) -> None:
    version = hashlib.sha256((ROOT / "web" / "static" / name).read_bytes()).hexdigest()[:10]
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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.css", "text/css"),
        ("app.js", "text/javascript"),
        ("search.js", "text/javascript"),
        ("temporary.js", "text/javascript"),
    ],
)
async def test_joined_files_are_cached_forever(visitor: Visitor, name: str, kind: str) -> None:
    responses = [await visitor.http.get(f"/static/{name}?{query}") for query in ("v=1", "")]
    version = hashlib.sha256(responses[1].content).hexdigest()[:10]
    named = await visitor.http.get(f"/static/{name}?v={version}")
    again = await visitor.http.get(f"/static/{name}", headers={"If-None-Match": named.headers["etag"]})

    assert named.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert [response.headers["cache-control"] for response in responses] == ["no-store", "no-cache"]
    assert named.headers["content-type"].startswith(kind)
    assert again.status_code == 304


SCRIPTS = sorted({name for names in FILES.values() for name in names if ".min." not in name and name != "app.css"})
BEFORE_COMMENT = re.compile(r"(?:^|(?<=\s))(//|/\*)(?=\s)|$")


STRING = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_but_comments_and_spaces_is_left_out_of_scripts(name: str) -> None:
    sent = content(name if name in FILES else "app.js").decode()
    sent_without_spaces = re.sub(r"\s", "", sent)

    for line in (ROOT / "web" / "static" / name).read_text().splitlines():
        code, mark, comment = BEFORE_COMMENT.split(line, maxsplit=1)
        assert re.sub(r"\s", "", code) in sent_without_spaces
        assert all(string in sent for string in STRING.findall(code))
        assert code.count("`") % 2 == 0, f"a template of several lines: {line}"
        if mark:
            assert code.count('"') % 2 == 0, f"a comment in a string: {line}"
            assert comment not in sent


def test_words_of_scripts_stay_apart() -> None:
    sent = STRING.sub("", "".join(content(name).decode() for name in FILES if name.endswith(".js")))
    source = STRING.sub("", "".join(map(script, SCRIPTS)))
    words = re.compile(r"\b(?:const|let|new|return|void|typeof|throw|of|in|else|function|async|await|case) +\w+")

    assert {*words.findall(source)} <= {*words.findall(sent)}


def script(name: str) -> str:
    lines = (ROOT / "web" / "static" / name).read_text().splitlines(keepends=True)
    return "".join(BEFORE_COMMENT.split(line, maxsplit=1)[0] for line in lines)


def test_nothing_but_comments_and_spaces_is_left_out_of_the_style_sheet() -> None:
    sent = content("app.css").decode()

    for line in (ROOT / "web" / "static" / "app.css").read_text().splitlines():
        code, mark, comment = BEFORE_COMMENT.split(line, maxsplit=1)
        assert re.sub(r"(?<=[{};:,])\s+|\s+(?=[{}])", "", code).strip() in sent
        assert all(string in sent for string in re.findall('"[^"]*"', code))
        assert not mark or comment not in sent
    assert re.search("[;:,{}] |\n", re.sub('"[^"]*"', "", sent)) is None


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
