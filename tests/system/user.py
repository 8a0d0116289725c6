"""A user without a browser: a cookie jar, and the requests that forms and links send."""

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
        self.chat = ""  # path of the current chat

    async def begin(self, name: str = "Ada") -> str:
        """Create a chat with the home page's form. Returns its path."""
        response = await self.http.post("/chats", data={"username": name, "new": "1"})
        assert response.status_code == 303, response.text
        self.chat = response.headers["Location"]
        return self.chat

    async def say(self, content: str) -> str:
        """Send a message and return the path of its answer."""
        response = await self.http.post(f"{self.chat}/messages", data={"content": content})
        assert response.status_code == 303, response.text
        return f"{self.chat}/messages/{response.headers['Location'].partition('#message-')[2]}"

    async def messages(self, chat: str = "") -> list[dict[str, Any]]:
        response = await self.http.get(f"{chat or self.chat}.json")
        response.raise_for_status()
        found: list[dict[str, Any]] = response.json()["messages"]
        return found

    async def look(self, path: str) -> dict[str, Any]:
        """Return the current state of a message."""
        chat, _, message_id = path.partition("/messages/")
        return next(message for message in await self.messages(chat) if message["id"] == message_id)

    async def written(self, path: str, characters: int = 1) -> dict[str, Any]:
        """Wait until the answer has this many characters and is still being written."""
        message: dict[str, Any] = await until(
            lambda: self._if(path, lambda message: len(message["content"]) >= characters)
        )
        assert message["status"] == "streaming"
        return message

    async def ended(self, path: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for the final status. Ignores failed requests, because servers are killed meanwhile."""
        message: dict[str, Any] = await until(
            lambda: self._if(path, lambda message: message["status"] in FINAL), seconds=seconds
        )
        return message

    async def tail(self, path: str) -> AsyncIterator[tuple[float, str]]:
        """Yield the parts of a running answer as `curl -N` shows them, with the seconds since the request."""
        started = time.monotonic()
        async with self.http.stream("GET", f"{path}/stream", headers={"Accept": "text/plain"}) as response:
            response.raise_for_status()
            async for text in response.aiter_text():
                yield time.monotonic() - started, text

    async def stop(self, path: str) -> None:
        response = await self.http.post(f"{path}/stop")
        assert response.status_code == 303, response.text

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
