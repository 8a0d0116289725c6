"""A browser tab that shows a running answer: the loaded page, changed by the events of its stream.

It reconnects like htmx's hx-sse: with the id of the last event, after half a second that doubles with each failed
attempt. It never reconnects if the very first request fails.
"""

import asyncio
import codecs
import contextlib
import copy
import html
import itertools
import random
import re
import time
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import urlencode

import httpx

RECONNECT_SECONDS, LONGEST_RECONNECT_SECONDS, JITTER = 0.5, 4.0, 0.3

_PARTIAL = re.compile(r'<hx-partial hx-target="([^"]*)" hx-swap="([^"]*)">(.*?)</hx-partial>', re.DOTALL)


class Event(NamedTuple):
    name: str
    data: str


class BrowserTab:
    def __init__(self, http: httpx.AsyncClient, path: str, expected: str = "") -> None:
        self.http, self.path = http, path
        self.chat, _, self.message_id = path.partition("/messages/")
        self.cursor: str | bytes = ""  # Last-Event-ID
        self.lost = 0  # early ends of the stream
        self.pings = 0
        self.moments: list[float] = []  # when new text was shown
        self.remark = ""  # the text under the answer
        self.remarks: set[str] = set()  # former values of it
        self.history: dict[str | bytes, str] = {}  # cursor: the content shown with it
        self._expected = shown(expected)
        self._reconnect_seconds = RECONNECT_SECONDS
        self._stream, self._frozen = "", ""
        self._tail: str | None = None
        self._was_open = False

    # The page

    @property
    def content(self) -> str:
        """The HTML of the answer."""
        return self._frozen if self._tail is None else f"{self._frozen}{self._tail_tag}{self._tail}</div>"

    @property
    def is_done(self) -> bool:
        return not self._stream

    async def load(self) -> "BrowserTab":
        page = await self.http.get(self.chat, headers={"Accept": "text/html"})
        page.raise_for_status()
        start = re.search(rf'<article class="message assistant( live)?" id="{self._id}"', page.text)
        assert start, "the answer is not on the page"
        article = page.text[start.start() :]
        article = article[: article.index("</article>")]
        opening = article[: article.index(">")]
        stream = re.search(r'hx-sse:connect="([^"]*)"', opening)
        self._stream = html.unescape(stream[1]) if stream else ""
        content = article[article.index('<div class="content"') : article.index("<noscript>" if stream else "<footer")]
        self._replace(content[content.index(">") + 1 : content.rindex("</div>")])
        self._say(article[article.index("<footer") :])
        return self

    def elsewhere(self, http: httpx.AsyncClient) -> "BrowserTab":
        """The same page, through another client."""
        tab = copy.copy(self)
        tab.http, tab._was_open = http, False
        tab.moments, tab.remarks, tab.history = self.moments.copy(), self.remarks.copy(), self.history.copy()
        return tab

    def go_to(self, place: str | bytes) -> None:
        """Changes the cursor in the stream's URL."""
        self._stream = f"{self._stream.partition('?')[0]}?{urlencode({'after': place})}"

    def restore(self, cursor: str | bytes) -> None:
        """The tab after this event."""
        self.cursor = cursor
        self._replace(self.history[cursor])

    async def follow(self) -> "BrowserTab":
        """Follows the stream until the answer has ended."""
        attempt = 0
        while not self.is_done:
            if attempt:
                seconds = min(self._reconnect_seconds * 2 ** (attempt - 1), LONGEST_RECONNECT_SECONDS)
                await asyncio.sleep(seconds * random.uniform(1 - JITTER, 1 + JITTER))
            try:
                async with self.http.stream("GET", self._stream, headers=self._headers()) as answer:
                    assert answer.status_code == 200 or self._was_open, (
                        f"the stream cannot be opened: {answer.status_code}"
                    )
                    if answer.status_code == 200:
                        assert answer.headers["content-type"].startswith("text/event-stream")
                        self._was_open, attempt = True, 0
                        async for event in self._events(answer):
                            self._take(event)
                            if self.is_done:
                                return self
            except httpx.TransportError:
                if not self._was_open:
                    raise
            self.lost += 1
            attempt += 1
        return self

    def gap(self, since: float, until: float | None = None) -> float:
        """The longest time without new text, starting with the last text before that moment."""
        before = [moment for moment in self.moments if moment <= since][-1:] or [since]
        moments = before + [moment for moment in self.moments if moment > since] + ([until] if until else [])
        return max((b - a for a, b in itertools.pairwise(moments)), default=0.0)

    # Events of the stream

    async def _events(self, answer: httpx.Response) -> AsyncIterator[Event]:
        decoder, buffer = codecs.getincrementaldecoder("utf-8")(), ""
        name, data, has_data = "", "", False
        async for piece in answer.aiter_raw():
            *lines, buffer = re.split(r"\r\n|\r|\n", buffer + decoder.decode(piece))
            for line in lines:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line:
                    if has_data or name:
                        yield Event(name, data)
                    name, data, has_data = "", "", False
                elif field == "data":
                    data, has_data = f"{data}\n{value}" if has_data else value, True
                elif field == "event":
                    name = value
                elif field == "id":
                    self.cursor = value
                elif field == "retry":
                    self._reconnect_seconds = int(value) / 1000

    def _take(self, event: Event) -> None:
        if event.name == "ping":
            self.pings += 1
        elif event.name == "done":
            self._stream = ""
        elif not event.name:
            before = shown(self.content)
            partials = _PARTIAL.findall(event.data)
            assert partials or not event.data.strip(), event
            for target, swap, inside in partials:
                self._swap(target, swap, inside)
            self.history[self.cursor] = self.content
            after = shown(self.content)
            assert self._expected.startswith(after) or not self._expected, f"something else was shown: {after[-200:]}"
            if after != before:
                self.moments.append(time.monotonic())

    def _swap(self, target: str, swap: str, inside: str) -> None:
        match target.removeprefix(f"#{self._id}"), swap:
            case " .content", "innerHTML":
                self._replace(inside)
            case "-tail", "outerHTML":
                assert self._tail is not None, "there is no tail to be replaced"
                self._replace(self._frozen + inside)
            case "-tail code", "beforeend":
                assert self._tail is not None
                end = self._tail.index("</code>")
                self._tail = self._tail[:end] + inside + self._tail[end:]
            case "-tail code > span:last-child", _:  # of code with colours
                assert self._tail is not None
                start, end = self._tail.rindex("<span"), self._tail.rindex("</span>")
                if swap == "outerHTML":
                    self._tail = self._tail[:start] + inside + self._tail[end + len("</span>") :]
                else:
                    self._tail = self._tail[:end] + inside + self._tail[end:]
            case path, "beforeend" if path.startswith("-tail > "):  # the line that ends the tail
                assert self._tail is not None
                ends = re.search(rf"(?:</\w+>\n*){{{path.count('>')}}}\Z", self._tail)
                assert ends, f"nothing to add to for {path}"
                self._tail = self._tail[: ends.start()] + inside + self._tail[ends.start() :]
            case "-footer", "outerHTML":
                self._say(inside)
            case "#context", "outerHTML":
                pass
            case _:
                raise AssertionError(f"no such place on the page: {target} {swap}")

    def _replace(self, content: str) -> None:
        self._frozen, tag, tail = content.partition(self._tail_tag)
        self._tail = tail.rstrip().removesuffix("</div>") if tag else None

    def _say(self, footer: str) -> None:
        said = re.search(
            r'class="(?:outcome|progress)[^>]*>(.*?)(?=<form|<button|<details|</footer)', footer, re.DOTALL
        )
        self.remark = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", said[1] if said else "")).split())
        self.remarks.add(self.remark)

    def _headers(self) -> dict[bytes, bytes]:
        cursor = self.cursor.encode() if isinstance(self.cursor, str) else self.cursor
        return {b"Accept": b"text/html, text/event-stream"} | ({b"Last-Event-ID": cursor} if cursor else {})

    @property
    def _id(self) -> str:
        return f"message-{self.message_id}"

    @property
    def _tail_tag(self) -> str:
        return f'<div class="tail" id="{self._id}-tail">'


@contextlib.asynccontextmanager
async def watched(*tabs: BrowserTab) -> AsyncIterator[None]:
    """Follows these tabs during the block, then until they are done."""
    following = [asyncio.create_task(tab.follow()) for tab in tabs]
    try:
        yield
        async with asyncio.timeout(30):
            await asyncio.gather(*following)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def shown(content: str) -> str:
    """The visible letters and digits of HTML or simple Markdown."""
    return "".join(character for character in html.unescape(re.sub(r"<[^>]*>", "", content)) if character.isalnum())
