"""The theme and the text size of a browser."""

import pytest

from tests.web.dom import parse
from tests.web.visitor import Visitor


@pytest.mark.parametrize("theme", ["", "light", "dark"])
async def test_a_chosen_theme_is_an_attribute_of_every_page(visitor: Visitor, theme: str) -> None:
    chat = await visitor.begin()

    saved = await visitor.http.post("/appearance", data={"theme": theme, "text_size": "large", "chat": chat[7:]})
    pages = [parse((await visitor.http.get(path)).text).select("html") for path in ("/devices", chat, "/offline")]

    assert saved.headers["location"] == chat
    assert [page.attributes.get("data-theme", "") for page in pages] == [theme] * 3
    assert [page.attributes["data-text"] for page in pages] == ["large"] * 3


@pytest.mark.parametrize("value", ['"><script>', "Dark", "x" * 5000, "\x00", "🦆"])
async def test_unknown_values_mean_the_default(visitor: Visitor, value: str) -> None:
    cookie = value.encode("latin-1", "replace").replace(b"\x00", b"")
    headers = {b"Cookie": b"theme=" + cookie + b"; text_size=" + cookie + b"; sidebar=" + cookie}
    form = {"theme": value, "text_size": value, "sidebar": value, "chat": value}
    saved = await visitor.http.post("/appearance", data=form)
    page = await visitor.http.get("/", headers=headers)

    assert saved.headers["location"] == "/"
    assert all("Max-Age=0" in header for header in saved.headers.get_list("set-cookie"))
    assert parse(page.text).select("html").attributes == {"lang": "en"}


async def test_the_page_returns_to_known_addresses_only(visitor: Visitor) -> None:
    for chat in ("//evil.example", "https://evil.example", "../x", "{00000000-0000-4000-8000-000000000000}"):
        saved = await visitor.http.post("/appearance", data={"theme": "dark", "chat": chat})
        assert saved.headers["location"] in ("/", "/chats/00000000-0000-4000-8000-000000000000")


async def test_each_form_changes_only_its_own_choices(visitor: Visitor) -> None:
    await visitor.http.post("/appearance", data={"theme": "dark", "text_size": "large"})
    await visitor.http.post("/appearance", data={"sidebar": "hidden"})
    hidden = parse((await visitor.http.get("/")).text).select("html").attributes
    await visitor.http.post("/appearance", data={"theme": "light", "text_size": ""})
    light = parse((await visitor.http.get("/")).text).select("html").attributes

    assert hidden == {"lang": "en", "data-theme": "dark", "data-text": "large", "data-sidebar": "hidden"}
    assert light == {"lang": "en", "data-theme": "light", "data-sidebar": "hidden"}


async def test_the_list_of_chats_is_hidden_and_shown_by_a_form(visitor: Visitor) -> None:
    chat = await visitor.begin()

    states = []
    for _ in range(3):
        page = await visitor.page(chat)
        form = page.select(".toggle")
        fields = {field.attributes["name"]: field.attributes["value"] for field in form.matching("input")}
        states.append(
            (page.select("html").attributes.get("data-sidebar"), form.select("button").attributes["aria-expanded"])
        )
        saved = await visitor.http.post(form.attributes["action"], data=fields)
        assert (saved.status_code, saved.headers["location"]) == (303, chat)

    assert states == [(None, "true"), ("hidden", "false"), (None, "true")]
