"""The database service, as this one sees it. Every call has a deadline, and a failure is one of ours."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import httpx
import orjson

from web.clients.transport import Body, Wire
from web.errors import NotFound, Refused, TooMany, Unavailable

CALL_SECONDS, CONNECT_SECONDS = 3.0, 1.0
PROMPT_SECONDS = 1.0  # a refusal that took longer would take as long again
EVENTS_SILENCE_SECONDS = 12.0  # it sends a heartbeat every 5

logger = logging.getLogger("web.dbapi")


class Dbapi:
    def __init__(self, url: str, key: str) -> None:
        self._wire, self._url = Wire(most=200, idle=50), httpx.URL(url)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    # Sessions

    async def create_session(self, token_hash: str, device: str) -> UUID:
        return UUID((await self._call("POST", "/sessions", json={"token_hash": token_hash, "name": device}))["session_id"])

    async def find_session(self, token_hash: str) -> UUID | None:
        try:
            found = await self._call("POST", "/sessions/find", json={"token_hash": token_hash}, again=True)
        except NotFound:
            return None
        return UUID(found["session_id"])

    async def devices(self, session: UUID) -> list[Any]:
        return list((await self._call("GET", "/devices", session, again=True))["devices"])

    async def sign_out(self, session: UUID, device_id: UUID) -> None:
        await self._call("DELETE", f"/devices/{device_id}", session)

    async def sign_out_all(self, session: UUID, keep: str = "") -> None:
        """All devices of this session, or all but the one with this hash."""
        await self._call("DELETE", "/devices" + (f"?keep={keep}" if keep else ""), session, again=True)

    async def create_link(self, session: UUID, token_hash: str) -> int:
        """Seconds for which it lets one more device in."""
        return int((await self._call("POST", "/links", session, json={"token_hash": token_hash}))["seconds"])

    async def use_link(self, link_hash: str, token_hash: str, device: str) -> UUID:
        """The session that the link has opened to a new device. Raises NotFound for a link that was used or is too old."""
        joining = {"link_hash": link_hash, "token_hash": token_hash, "name": device}
        return UUID((await self._call("POST", "/devices", json=joining))["session_id"])

    # Chats

    async def create_chat(self, session: UUID, username: str, model: str | None, messages: list[dict[str, str]]) -> Any:
        new = {"username": username, "model": model, "messages": messages}
        return await self._call("POST", "/chats", session, json=new)

    async def chats(self, session: UUID) -> list[Any]:
        return list((await self._call("GET", "/chats", session, again=True))["chats"])

    async def chat(self, session: UUID, chat_id: UUID, last: int = 0) -> Any:
        """A chat with its messages, or only the last ones of them."""
        return await self._call("GET", f"/chats/{chat_id}" + (f"?last={last}" if last else ""), session, again=True)

    async def change_chat(self, session: UUID, chat_id: UUID, values: dict[str, Any]) -> Any:
        return await self._call("PATCH", f"/chats/{chat_id}", session, json=values, again=True)

    async def delete_chat(self, session: UUID, chat_id: UUID) -> None:
        await self._call("DELETE", f"/chats/{chat_id}", session)

    async def restore_chat(self, session: UUID, chat_id: UUID) -> Any:
        return await self._call("POST", f"/chats/{chat_id}/restore", session, again=True)

    async def show_branch(self, session: UUID, chat_id: UUID, message_id: UUID) -> None:
        await self._call("PUT", f"/chats/{chat_id}/tip", session, json={"message_id": str(message_id)}, again=True)

    async def latest_chat(self, session: UUID, username: str) -> Any:
        return await self._call("GET", f"/chats/username/{_quote(username)}", session, again=True)

    # Messages

    async def create_turn(self, session: UUID | None, chat_id: UUID, turn: dict[str, Any]) -> Any:
        """Of this session, or of the one that the turn's `token_hash` opens."""
        again = bool(turn.get("message_id"))  # with the client's id it is the same turn, however often it is sent
        return await self._call("POST", f"/chats/{chat_id}/turns", session, json=turn, again=again)

    async def message(self, session: UUID, chat_id: UUID, message_id: UUID) -> Any:
        return await self._call("GET", f"/chats/{chat_id}/messages/{message_id}", session, again=True)

    async def prompt(self, session: UUID, chat_id: UUID, message_id: UUID) -> Any:
        return await self._call("GET", f"/chats/{chat_id}/messages/{message_id}/prompt", session, again=True)

    async def regenerate(self, session: UUID, chat_id: UUID, message_id: UUID, again: dict[str, Any]) -> Any:
        return await self._call("POST", f"/chats/{chat_id}/messages/{message_id}/answers", session, json=again)

    async def go_on(self, session: UUID, chat_id: UUID, message_id: UUID, again: dict[str, Any]) -> Any:
        return await self._call("POST", f"/chats/{chat_id}/messages/{message_id}/continue", session, json=again)

    async def delete_message(self, session: UUID, chat_id: UUID, message_id: UUID) -> None:
        await self._call("DELETE", f"/chats/{chat_id}/messages/{message_id}", session)

    async def stop(self, session: UUID, chat_id: UUID, message_id: UUID) -> str:
        stopped = await self._call("POST", f"/chats/{chat_id}/messages/{message_id}/stop", session, again=True)
        return str(stopped["status"])

    # The log

    async def claim(self, owner: str, slots: int, lease: float) -> Any:
        return await self._call("POST", "/generations/claim", json={"owner": owner, "slots": slots, "lease": lease})

    async def append(self, entries: Sequence[tuple[Any, ...]], lease: float) -> tuple[set[str], set[str]]:
        """Ids that were accepted, and those of them that were asked to stop."""
        result = await self._call("POST", "/generations/append", json={"lease": lease, "entries": entries})
        return set(result["ok"]), set(result["stop"])

    async def finish(self, end: dict[str, Any]) -> tuple[bool, bool]:
        """Whether it was this call that finished it, and whether another answer waits for a slot."""
        finished = await self._call("POST", "/generations/finish", json=end)
        return finished["done"], finished["waiting"]

    async def rename(self, generation_id: str, fence: int, key: str) -> bool:
        new = {"id": generation_id, "fence": fence, "upstream_key": key}
        return bool((await self._call("POST", "/generations/rename", json=new, again=True))["done"])

    async def release(self, held: Sequence[tuple[str, int]]) -> int:
        return int((await self._call("POST", "/generations/release", json={"entries": held}, again=True))["released"])

    async def read(self, places: Sequence[tuple[str, int]]) -> Any:
        return await self._call("POST", "/generations/read", json={"entries": places}, again=True)

    async def events(self, owner: str, lease: float) -> AsyncIterator[dict[str, Any]]:
        """Wake-ups, until the connection is lost: then Unavailable. While it stands, dbapi knows that this process lives."""
        try:
            async with self._answer("GET", f"/events?owner={_quote(owner)}&lease={lease}", read=EVENTS_SILENCE_SECONDS) as response:
                if response.status_code != 200:
                    raise Unavailable
                async for line in response.aiter_lines():
                    yield orjson.loads(line)
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise Unavailable from error
        raise Unavailable

    async def ready(self) -> None:
        """Raises Unavailable with the reason."""
        await self._call("GET", "/readyz")

    async def close(self) -> None:
        await self._wire.aclose()

    async def _call(self, method: str, path: str, session: UUID | None = None, json: Any = None, again: bool = False) -> Any:
        """With `again`, one more try if the answer was lost: only for what may happen twice."""
        content = None if json is None else orjson.dumps(json)
        began = time.monotonic()
        for attempt in (1, 2):
            try:
                async with asyncio.timeout(CALL_SECONDS), self._answer(method, path, session, content) as response:
                    body = b"".join([part async for part in cast(Body, response.stream)])
            except (httpx.HTTPError, TimeoutError) as error:
                if again and attempt == 1 and not isinstance(error, TimeoutError | httpx.TimeoutException):
                    continue
                raise Unavailable from error
            if response.status_code == 503 and again and attempt == 1 and time.monotonic() - began < PROMPT_SECONDS:
                continue
            return self._result(response, body)
        raise AssertionError("the second attempt ends the loop")

    def _answer(
        self, method: str, path: str, session: UUID | None = None, content: bytes | None = None, read: float | None = None
    ) -> AbstractAsyncContextManager[httpx.Response]:
        headers = self._headers | {"X-Session-ID": str(session)} if session else self._headers
        return self._wire.answer(method, self._url, path, headers, content, connect=CONNECT_SECONDS, read=read)

    def _result(self, response: httpx.Response, body: bytes) -> Any:
        if response.is_success:
            return orjson.loads(body) if body else None
        try:
            detail = str(orjson.loads(body)["detail"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            detail = ""
        if response.status_code == 404:
            raise NotFound
        if response.status_code in (401, 403) or response.status_code >= 500:
            logger.error("dbapi answers %s: %s", response.status_code, detail)
            raise Unavailable(detail)
        if response.status_code == 429:
            raise TooMany(detail, int(response.headers["retry-after"]))
        raise Refused(response.status_code, detail)


def _quote(text: str) -> str:
    return quote(text, safe="").replace(".", "%2E")  # "." and ".." would be steps on a path
