"""Somebody who chats without a browser: one cookie jar, and the requests that forms and links make."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.stack import client, until

FINAL = ("complete", "stopped", "failed")


class User:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.chat = ""  # its path

    async def begin(self, name: str = "Ada") -> str:
        """A new chat under this name, as the home page's form makes it."""
        answer = await self.http.post("/chats", data={"username": name, "new": "1"})
        assert answer.status_code == 303, answer.text
        self.chat = answer.headers["Location"]
        return self.chat

    async def say(self, content: str) -> str:
        """Sends a message, and gives the path of its answer."""
        answer = await self.http.post(f"{self.chat}/messages", data={"content": content})
        assert answer.status_code == 303, answer.text
        return f"{self.chat}/messages/{answer.headers['Location'].partition('#message-')[2]}"

    async def messages(self, chat: str = "") -> list[dict[str, Any]]:
        answer = await self.http.get(f"{chat or self.chat}.json")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["messages"]
        return found

    async def look(self, path: str) -> dict[str, Any]:
        """A message as it is now."""
        chat, _, message_id = path.partition("/messages/")
        return next(message for message in await self.messages(chat) if message["id"] == message_id)

    async def written(self, path: str, characters: int = 1) -> dict[str, Any]:
        """Waits until the answer has some text and goes on."""
        message: dict[str, Any] = await until(lambda: self._if(path, lambda message: len(message["content"]) >= characters))
        assert message["status"] == "streaming"
        return message

    async def ended(self, path: str, seconds: float = 60.0) -> dict[str, Any]:
        """Waits for the final status, however often the server is not there meanwhile."""
        message: dict[str, Any] = await until(lambda: self._if(path, lambda message: message["status"] in FINAL), seconds=seconds)
        return message

    async def tail(self, path: str) -> AsyncIterator[tuple[float, str]]:
        """The text of a running answer, as `curl -N` shows it: seconds since the request, and what came then."""
        began = time.monotonic()
        async with self.http.stream("GET", f"{path}/stream", headers={"Accept": "text/plain"}) as answer:
            answer.raise_for_status()
            async for text in answer.aiter_text():
                yield time.monotonic() - began, text

    async def stop(self, path: str) -> None:
        answer = await self.http.post(f"{path}/stop")
        assert answer.status_code == 303, answer.text

    async def _if(self, path: str, condition: Any) -> dict[str, Any] | None:
        try:
            message = await self.look(path)
        except httpx.HTTPError:
            return None
        return message if condition(message) else None


@asynccontextmanager
async def user(origin: str) -> AsyncIterator[User]:
    async with client(origin, headers={"Origin": origin}) as http:
        yield User(http)
