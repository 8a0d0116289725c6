"""An HTTP client that acts like a browser: cookies, headers, pages and streams."""

import asyncio
import codecs
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.stack import PATIENCE_SECONDS, Service, client, until
from tests.web.dom import Node, parse

FINAL = {"complete", "stopped", "failed"}
HTML, EVENTS, TEXT = "text/html", "text/event-stream", "text/plain"
HTMX = {"HX-Request": "true", "Accept": "*/*"}
SECRETS = ("secret-host", "/srv/llama", "Traceback", "asyncpg", "sqlalchemy")  # no response may contain these


@dataclass
class Event:
    data: str
    event: str = "message"
    id: str | None = None


class Visitor:
    """A client with one session. `chat` is the path of a chat, `message` the id of an answer."""

    def __init__(self, web: Service) -> None:
        self.web = web
        self.http = client(web.url, headers={"Sec-Fetch-Site": "same-origin", "Accept": HTML})
        self.chats: list[str] = []

    async def begin(self, username: str = "Ada", **more: str) -> str:
        """Opens the chat of this user name; returns its path."""
        answer = await self.http.post("/chats", data={"username": username} | more)
        assert answer.status_code == 303, answer.text
        self.chats.append(answer.headers["location"])
        return self.chats[-1]

    async def say(self, chat: str, content: Any = "Why?", **fields: str) -> str:
        """Sends a message, or a script for the model server; returns the id of the answer."""
        answer = await self.post(chat, content, **fields)
        assert answer.status_code == 303, answer.text
        path, _, message = answer.headers["location"].partition("#message-")
        assert path == chat
        return str(message)

    async def post(self, chat: str, content: Any, headers: Any = None, **fields: str) -> httpx.Response:
        return await self.http.post(f"{chat}/messages", data={"content": text_of(content)} | fields, headers=headers)

    async def stop(self, chat: str, message: str) -> httpx.Response:
        return await self.http.post(f"{chat}/messages/{message}/stop")

    async def messages(self, chat: str) -> list[Any]:
        answer = await self.http.get(f"{chat}.json")
        assert answer.status_code == 200, answer.text
        return answer.json()["messages"]  # type: ignore[no-any-return]

    async def message(self, chat: str, message: str) -> Any:
        (found,) = [each for each in await self.messages(chat) if each["id"] == message]
        return found

    async def ended(self, chat: str, message: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Waits until the status of the message is final; returns the message."""

        async def final() -> Any:
            found = await self.message(chat, message)
            return found if found["status"] in FINAL else None

        return await until(final, lambda: f"{message} never ended; {self.web.log_tail()}", seconds)

    async def written(self, chat: str, message: str, characters: int = 1) -> Any:
        """Waits until the message has some text; returns the message."""

        async def enough() -> Any:
            found = await self.message(chat, message)
            return found if len(found["content"]) >= characters else None

        return await until(enough, lambda: f"{message} never had {characters} characters; {self.web.log_tail()}")

    async def page(self, chat: str) -> Node:
        answer = await self.http.get(chat)
        assert answer.status_code == 200
        assert not any(secret in answer.text for secret in SECRETS)
        return parse(answer.text)

    @contextlib.asynccontextmanager
    async def following(self, page: Node, message: str, **headers: str) -> AsyncIterator["Watched"]:
        """Opens the stream at the URL that the page contains."""
        address = page.select(f"#message-{message}").attributes["hx-sse:connect"]
        async with (
            asyncio.timeout(2 * PATIENCE_SECONDS),
            self.http.stream("GET", address, headers={"Accept": EVENTS} | headers) as response,
        ):
            yield Watched(response)

    @contextlib.asynccontextmanager
    async def watching(
        self, chat: str, message: str, accept: str = EVENTS, after: str | None = None, **headers: str
    ) -> AsyncIterator["Watched"]:
        """Opens the stream of an answer; `after` is the cursor in its URL."""
        query = {} if after is None else {"after": after}
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            async with self.http.stream(
                "GET", f"{chat}/messages/{message}/stream", params=query, headers={"Accept": accept} | headers
            ) as response:
                yield Watched(response)

    async def plain(self, chat: str, message: str) -> str:
        """Waits until the answer has ended; returns its plain text."""
        async with self.watching(chat, message, TEXT) as watched:
            return (await watched.response.aread()).decode()

    async def leave(self) -> None:
        """Stops the running answers of this visitor, so that they occupy no slots."""
        for chat in dict.fromkeys(self.chats):
            answer = await self.http.get(f"{chat}.json")
            for message in answer.json()["messages"] if answer.status_code == 200 else []:
                if message["status"] not in FINAL:
                    await self.stop(chat, message["id"])
                    await self.ended(chat, message["id"])
        await self.http.aclose()


class Watched:
    """A stream: its raw bytes so far, and its events, parsed after the specification."""

    def __init__(self, response: httpx.Response) -> None:
        self.response, self.raw = response, b""
        self._bytes, self._lines = response.aiter_bytes(), ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    async def events(self) -> AsyncIterator[Event]:
        """Yields events, including pings, until the stream ends. A second generator continues after the first one."""
        while True:
            while (end := self._lines.find("\n\n")) >= 0:
                block, self._lines = self._lines[:end], self._lines[end + 2 :]
                if event := parsed(block):
                    yield event
            try:
                data = await anext(self._bytes)
            except StopAsyncIteration:
                assert not self._lines, f"the stream ended within an event: {self._lines!r}"
                return
            self.raw += data
            assert b"\r" not in self.raw
            self._lines += self._decoder.decode(data)

    async def steps(self, page: Node) -> AsyncIterator[Event]:
        """Applies each event to the page, like htmx, and yields it; ends with the event named in hx-sse:close."""
        async for event in self.events():
            if event.event == "message":
                page.swap(event.data)
            yield event
            if event.event == "done":
                return

    async def shown(self, page: Node) -> Event:
        """Applies all events; returns the last."""
        return [event async for event in self.steps(page)][-1]


def parsed(block: str) -> Event | None:
    """Parses an event: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation"""
    name, cursor, data = "message", None, None
    for line in re.split("\r\n|\n|\r", block):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data = value if data is None else f"{data}\n{value}"
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            cursor = value
    return None if data is None else Event(data, name, cursor)


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content)


def unique(text: str = "") -> str:
    """A text that no other test uses."""
    return f"{text} {uuid4().hex}".strip()


class Model:
    """The scripted model server."""

    def __init__(self, url: str) -> None:
        self.http = client(url)

    async def control(self, **settings: Any) -> None:
        assert (await self.http.post("/__control", json=settings)).status_code == 200

    async def reset(self) -> None:
        assert (await self.http.post("/__reset")).status_code == 204

    async def requests(self, content: Any) -> list[Any]:
        """The bodies of all requests for an answer to this message."""
        seen = (await self.http.get("/__seen")).json()["requests"]
        bodies = [
            request["body"] for request in seen if request["path"] == "/v1/chat/completions" and "body" in request
        ]
        return [
            body
            for body in bodies
            if text_of(content)
            in [message["content"] for message in body["messages"] if message["role"] == "user"][-1:]
        ]

    async def counters(self) -> dict[str, int]:
        return (await self.http.get("/__seen")).json()["counters"]  # type: ignore[no-any-return]
