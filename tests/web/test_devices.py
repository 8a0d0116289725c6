"""One session on several devices: links work once, and signing out takes effect at once on every replica."""

import asyncio
import hashlib
import html
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import segno

from tests.stack import Service, until
from tests.web.device_page import devices, form_of
from tests.web.dom import parse
from tests.web.visitor import EVENTS, HTML, TEXT, Visitor

SIGNED_OUT_SECONDS = 2.0
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 "
PHONE += "(KHTML, like Gecko) Version/19.0 Safari/604.1"


async def link_of(visitor: Visitor) -> str:
    """The link that the page shows after "Add a device", without scheme and host."""
    page = await visitor.http.post("/devices/link")
    assert page.status_code == 200, page.text
    (url,) = {html.unescape(found) for found in re.findall(r'href="(http[^"]*/join[^"]*)"', page.text)}
    return url.partition("//")[2].partition("/")[2]


async def join(visitor: Visitor, address: str) -> Any:
    """Opens the link and presses its button."""
    page = parse((await visitor.http.get("/" + address)).text)
    code = page.select("input").attributes["value"]
    return await visitor.http.post("/join", data={"code": code})


async def is_out(visitor: Visitor, chat: str) -> None:
    """Waits until this visitor cannot open the chat any longer; fails if that takes too long."""

    async def gone() -> bool:
        return bool((await visitor.http.get(chat)).status_code == 404)

    await until(gone, seconds=SIGNED_OUT_SECONDS)


async def test_a_link_opens_the_same_session_on_another_device(visitor: Visitor, elsewhere: Visitor) -> None:
    visitor.http.headers["User-Agent"], elsewhere.http.headers["User-Agent"] = FIREFOX, PHONE
    chat = await visitor.begin()

    joined = await join(elsewhere, await link_of(visitor))
    elsewhere.chats.append(chat)

    assert (joined.status_code, joined.headers["location"]) == (303, "/")
    assert (await elsewhere.http.get(chat)).status_code == 200
    assert chat in (await elsewhere.http.get("/")).text
    names = [device.select("b").text for device in await devices(visitor)]
    assert names == ["Safari on an iPhone", "Firefox on Linux"]
    assert [("this device" in device.text) for device in await devices(elsewhere)] == [True, False]
    assert visitor.http.cookies["runnel"].rsplit(".", 2)[0] != elsewhere.http.cookies["runnel"].rsplit(".", 2)[0]


async def test_the_qr_code_is_drawn_on_the_server_and_contains_the_link(visitor: Visitor, tmp_path: Any) -> None:
    await visitor.begin()

    page = (await visitor.http.post("/devices/link")).text

    (drawing,) = re.findall(r"<svg[^>]*>.*?</svg>", page)
    assert "style=" not in drawing
    assert "<script" not in page
    (url,) = {html.unescape(found) for found in re.findall(r'href="(http[^"]*/join[^"]*)"', page)}
    assert scanned(drawing) == expected(url)


def scanned(drawing: str) -> list[list[bool]]:
    """The dark modules of a QR code, from its SVG path."""
    size = int(re.findall(r'viewBox="0 0 (\d+) \d+"', drawing)[0])
    modules = [[False] * size for _ in range(size)]
    (path,) = re.findall(r' d="([^"]+)"', drawing)
    x, y = 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", path):
        values = [float(number) for number in re.findall(r"-?\d*\.?\d+", numbers)]
        if command == "M":
            x, y = values
        elif command == "m":
            x, y = x + values[0], y + values[1]
        else:
            for column in range(int(x), int(x + values[0])):
                modules[int(y)][column] = True
            x += values[0]
    return modules


def expected(text: str) -> list[list[bool]]:
    return [[bool(module) for module in row] for row in segno.make_qr(text, error="m").matrix_iter(border=4)]


async def test_a_link_works_once(visitor: Visitor, elsewhere: Visitor, visitors: Callable[..., Visitor]) -> None:
    chat, address = await visitor.begin(), await link_of(visitor)
    late = [visitors() for _ in range(6)]

    answers = await asyncio.gather(*(join(each, address) for each in [elsewhere, *late]))

    assert sorted(answer.status_code for answer in answers) == [303] + [404] * 6
    assert all("already been used" in answer.text for answer in answers if answer.status_code == 404)
    seen = [(await each.http.get(chat)).status_code for each in [elsewhere, *late]]
    assert sorted(seen) == [200] + [404] * 6
    assert len(await devices(visitor)) == 2


async def test_opening_a_link_neither_uses_nor_reveals_it(visitor: Visitor, elsewhere: Visitor) -> None:
    await visitor.begin()
    address = await link_of(visitor)

    looked = [await elsewhere.http.get("/" + address) for _ in range(3)] + [await elsewhere.http.head("/" + address)]

    assert {each.status_code for each in looked} == {200}
    assert {each.headers["referrer-policy"] for each in looked} == {"strict-origin"}
    assert {each.headers["cache-control"] for each in looked} == {"no-store"}
    assert not any("set-cookie" in each.headers for each in looked)
    assert (await join(elsewhere, address)).status_code == 303


async def test_a_new_link_voids_the_old_one(visitor: Visitor, elsewhere: Visitor) -> None:
    await visitor.begin()
    first, second = await link_of(visitor), await link_of(visitor)

    assert (await join(elsewhere, first)).status_code == 404
    assert (await join(elsewhere, second)).status_code == 303


async def test_an_expired_link_is_refused(visitor: Visitor, elsewhere: Visitor, owner: Any) -> None:
    await visitor.begin()
    address = await link_of(visitor)
    code = address.partition("code=")[2]
    aged = "UPDATE links SET expires_at = clock_timestamp() WHERE token_hash = $1"
    assert await owner.execute(aged, hashlib.sha256(code.encode()).digest()) == "UPDATE 1", "only its hash is stored"

    assert (await join(elsewhere, address)).status_code == 404


@pytest.mark.parametrize("code", ["", "x", "é" * 43, "x" * 43, "x" * 5000, "\x00" * 43, "../../x"])
async def test_a_made_up_code_opens_nothing(visitor: Visitor, code: str, owner: Any) -> None:
    before = await owner.fetchval("SELECT count(*) FROM devices")

    answer, page = (
        await visitor.http.post("/join", data={"code": code}),
        await visitor.http.get("/join", params={"code": code[:100]}),
    )

    assert (answer.status_code, page.status_code) == (404, 200)
    assert "set-cookie" not in answer.headers
    assert await owner.fetchval("SELECT count(*) FROM devices") == before


async def test_joining_a_session_leaves_the_former_one(
    visitor: Visitor, elsewhere: Visitor, visitors: Callable[..., Visitor]
) -> None:
    chat, theirs = await visitor.begin(), await elsewhere.begin()
    theirs_alone = visitors()
    theirs_alone.http.cookies.update(elsewhere.http.cookies)

    page = await elsewhere.http.get("/" + (address := await link_of(visitor)))
    await join(elsewhere, address)

    assert "chats of its own" in page.text
    assert (await elsewhere.http.get(theirs)).status_code == 404
    assert (await elsewhere.http.get(chat)).status_code == 200
    await is_out(theirs_alone, theirs)  # the former cookie opens nothing


@pytest.mark.parametrize("accept", [EVENTS, HTML, TEXT])
async def test_signing_out_a_device_ends_its_streams_on_every_replica(
    visitor: Visitor, elsewhere: Visitor, second_web: Service, visitors: Callable[..., Visitor], accept: str
) -> None:
    chat = await visitor.begin()
    await join(elsewhere, await link_of(visitor))
    answer = await visitor.say(chat, {"text": "word " * 50, "hang_after": 5})
    await visitor.written(chat, answer)
    same_device_here = visitors()
    same_device_here.http.cookies.update(elsewhere.http.cookies)
    (their,) = [device for device in await devices(visitor) if "this device" not in device.text]

    async with (
        elsewhere.watching(chat, answer, accept) as there,
        same_device_here.watching(chat, answer, accept) as here,
        visitor.watching(chat, answer, accept) as mine,
    ):
        raw = [each.response.aiter_bytes() for each in (there, here, mine)]
        began = [await anext(stream) for stream in raw]
        assert all(began)
        signed_out = await visitor.http.post(form_of(their))
        signed_out_at = time.monotonic()
        async with asyncio.timeout(SIGNED_OUT_SECONDS):
            last = [b"".join([part async for part in stream]) for stream in raw[:2]]
        took = time.monotonic() - signed_out_at
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await _until_end(raw[2])

    assert (signed_out.status_code, signed_out.headers["location"]) == (303, "/devices")
    assert took < SIGNED_OUT_SECONDS
    if accept != TEXT:
        assert all(b"This device was signed out." in part for part in last)
        assert not any(b"event: done" in part or b"event: moved" in part for part in last)
    again = [
        await each.http.get(f"{chat}/messages/{answer}/stream", headers={"Accept": accept})
        for each in (elsewhere, same_device_here)
    ]
    assert {each.status_code for each in again} == {404}
    assert (await visitor.message(chat, answer))["status"] == "streaming", "an answer does not belong to a device"


async def _until_end(stream: Any) -> None:
    async for _ in stream:
        pass


async def test_signing_out_clears_the_cookie_and_the_browsers_data(visitor: Visitor) -> None:
    chat = await visitor.begin()
    cookie = dict(visitor.http.cookies)
    (own,) = await devices(visitor)

    out = await visitor.http.post(form_of(own))

    assert (out.status_code, out.headers["location"], out.headers["clear-site-data"]) == (303, "/", '"storage"')
    assert "Max-Age=0" in out.headers["set-cookie"]
    assert "runnel" not in visitor.http.cookies
    visitor.http.cookies.update(cookie)
    await is_out(visitor, chat)
    assert (await visitor.http.get("/devices")).status_code == 404


async def test_all_other_devices_and_then_all_devices_can_be_signed_out(visitor: Visitor, elsewhere: Visitor) -> None:
    chat = await visitor.begin()
    await join(elsewhere, await link_of(visitor))
    link = await link_of(visitor)

    others = await visitor.http.post("/devices/sign-out", data={"others": "1"})
    await is_out(elsewhere, chat)
    remaining = len(await devices(visitor))
    by_the_link = (await join(elsewhere, link)).status_code
    all_of_them = await visitor.http.post("/devices/sign-out")

    assert (others.status_code, others.headers["location"], remaining) == (303, "/devices", 1)
    assert by_the_link == 404, "a link that was made before is void"
    assert (all_of_them.status_code, all_of_them.headers["location"]) == (303, "/")
    assert "runnel" not in visitor.http.cookies


async def test_the_devices_of_a_session_are_limited(visitor: Visitor, visitors: Callable[..., Visitor]) -> None:
    await visitor.begin()
    for _ in range(19):
        assert (await join(visitors(), await link_of(visitor))).status_code == 303
    one_more = visitors()

    refused = await join(one_more, address := await link_of(visitor))

    assert refused.status_code == 409
    assert "20 devices are signed in already" in refused.text
    (oldest, *_) = [device for device in reversed(await devices(visitor)) if "this device" not in device.text]
    await visitor.http.post(form_of(oldest))
    assert (await join(one_more, address)).status_code == 404, "signing out voids a link"
    assert (await join(one_more, await link_of(visitor))).status_code == 303
