"""Client of the database service, one method for each of its endpoints. Failures are raised as `web.errors`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TypedDict, cast
from urllib.parse import quote, urlencode
from uuid import UUID

from web.clients.dbapi_connection import DbapiConnection
from web.contract import (
    AnswerState,
    AppendRow,
    Chat,
    ChatChange,
    ChatList,
    ChatRevision,
    ChatsChange,
    ChatState,
    ChatWithMessages,
    Chunk,
    Claim,
    ClaimedList,
    Device,
    Finish,
    GenerationRequest,
    ListedPreset,
    Log,
    LogChange,
    Message,
    NewMessage,
    NewPreset,
    NewTurn,
    Notification,
    Preset,
    Prompt,
    SearchResults,
    StartedAnswer,
    Status,
    TitleRequest,
    Turn,
    Version,
)
from web.errors import NotFound, Unavailable

MAX_NEW_TURNS = 16  # at once: more would not be stored faster, but some of them after the deadline of their calls
TURN_WAIT_SECONDS = 5.0  # for one of them; longer than a burst takes, shorter than nginx and people wait


class _Link(TypedDict):
    seconds: int


class _SessionId(TypedDict):
    session_id: str


class Dbapi:
    def __init__(self, url: str, key: str) -> None:
        self._connection = DbapiConnection(url, key)
        self._call = self._connection.call
        self._new_turns = asyncio.Semaphore(MAX_NEW_TURNS)

    # Sessions

    async def create_session(self, token_hash: str, device: str) -> UUID:
        created = await self._call("POST", "/sessions", json={"token_hash": token_hash, "name": device})
        return UUID(cast(_SessionId, created)["session_id"])

    async def find_session(self, token_hash: str) -> UUID | None:
        try:
            found = await self._call("POST", "/sessions/find", json={"token_hash": token_hash}, retry=True)
        except NotFound:
            return None
        return UUID(cast(_SessionId, found)["session_id"])

    async def devices(self, session: UUID) -> list[Device]:
        return cast(dict[str, list[Device]], await self._call("GET", "/devices", session, retry=True))["devices"]

    async def sign_out(self, session: UUID, device_id: UUID) -> None:
        await self._call("DELETE", f"/devices/{device_id}", session)

    async def sign_out_all(self, session: UUID, keep: str = "") -> None:
        """Signs out all devices of this session, except the one with the hash `keep`."""
        await self._call("DELETE", "/devices" + (f"?keep={keep}" if keep else ""), session, retry=True)

    async def create_link(self, session: UUID, token_hash: str) -> int:
        """Returns the seconds for which the link can be used."""
        created = await self._call("POST", "/links", session, json={"token_hash": token_hash})
        return cast(_Link, created)["seconds"]

    async def use_link(self, link_hash: str, token_hash: str, device: str) -> UUID:
        """Adds a device to the session of a link. Raises NotFound if the link was used or has expired."""
        new = {"link_hash": link_hash, "token_hash": token_hash, "name": device}
        return UUID(cast(_SessionId, await self._call("POST", "/devices", json=new))["session_id"])

    # Presets

    async def presets(self, session: UUID) -> list[ListedPreset]:
        """By name."""
        listed = await self._call("GET", "/presets", session, retry=True)
        return cast(dict[str, list[ListedPreset]], listed)["presets"]

    async def preset(self, session: UUID, preset_id: str) -> Preset:
        return cast(Preset, await self._call("GET", f"/presets/{preset_id}", session, retry=True))

    async def save_preset(self, session: UUID, preset: NewPreset) -> Preset:
        """Creates it, or replaces the one with the same name."""
        return cast(Preset, await self._call("PUT", "/presets", session, json=preset, retry=True))

    async def delete_preset(self, session: UUID, preset_id: UUID) -> None:
        await self._call("DELETE", f"/presets/{preset_id}", session)

    # Chats

    async def create_chat(
        self,
        session: UUID,
        username: str,
        model: str | None,
        messages: list[NewMessage],
        settings_of: str | None,
        reuse_empty: bool = False,
        is_temporary: bool = False,
    ) -> Chat:
        """Takes over the settings of the chat `settings_of`, else the session's defaults.

        With `reuse_empty`, returns a chat of this name in which nothing was written yet, if there is one.
        """
        new: dict[str, object] = {"username": username, "model": model, "messages": messages}
        new |= {"settings_of": settings_of, "reuse_empty": reuse_empty, "is_temporary": is_temporary}
        return cast(Chat, await self._call("POST", "/chats", session, json=new))

    async def chats(
        self, session: UUID, limit: int, *, after: str = "", archived: bool = False, seen: str = ""
    ) -> ChatList:
        """A page of the list from the cursor `after` on: either the archived chats, or the others. At most 200 of them.

        `seen` is the id of the chat that the user is looking at: it is no longer unread.
        """
        values = {"limit": limit, "after": after, "archived": int(archived), "seen": seen}
        query = urlencode({name: value for name, value in values.items() if value})
        return cast(ChatList, await self._call("GET", f"/chats?{query}", session, retry=True))

    async def change_chats(self, session: UUID, chat_ids: Sequence[str], values: ChatsChange) -> list[str]:
        """Changes at most 100 chats as a whole. Returns the ids of those that were found."""
        retry = "deleted" not in values  # a second attempt would find nothing to delete
        changed = await self._call("PATCH", "/chats", session, json={"ids": chat_ids, **values}, retry=retry)
        return cast(dict[str, list[str]], changed)["ids"]

    async def chat(self, session: UUID, chat_id: UUID, last: int = 0, message_id: str = "") -> ChatWithMessages:
        """A chat with all messages of its shown branch, or with the `last` ones.

        With `message_id`, of a branch through this message, and at least from there on.
        """
        values = {"last": last, "message": message_id}
        query = urlencode({name: value for name, value in values.items() if value})
        path = f"/chats/{chat_id}?{query}" if query else f"/chats/{chat_id}"
        return cast(ChatWithMessages, await self._call("GET", path, session, retry=True))

    async def chat_state(self, session: UUID, chat_id: UUID) -> ChatState:
        return cast(ChatState, await self._call("GET", f"/chats/{chat_id}/state", session, retry=True))

    async def change_chat(self, session: UUID, chat_id: UUID, values: ChatChange) -> Chat:
        return cast(Chat, await self._call("PATCH", f"/chats/{chat_id}", session, json=values, retry=True))

    async def request_title(self, session: UUID, chat_id: UUID, pool: str, slots: int) -> TitleRequest:
        """Granted at most once a chat, while the pool with this many slots has a free one."""
        wanted = {"pool": pool, "slots": slots}
        return cast(TitleRequest, await self._call("POST", f"/chats/{chat_id}/title", session, json=wanted))

    async def store_title(self, session: UUID, chat_id: UUID, title: str) -> bool:
        """Returns False if the user has set a title meanwhile."""
        stored = await self._call("PUT", f"/chats/{chat_id}/title", session, json={"title": title})
        return cast(dict[str, bool], stored)["is_stored"]

    async def leave_chat(self, session: UUID, chat_id: UUID, page: int = 0) -> None:
        """The page with this number, of a temporary chat, was left. Other chats do not change."""
        await self._call("POST", f"/chats/{chat_id}/leave?page={page}", session, retry=True)

    async def return_to_chat(self, session: UUID, chat_id: UUID, page: int = 0) -> None:
        """The page with this number, of a temporary chat, is open. Other chats do not change."""
        await self._call("POST", f"/chats/{chat_id}/return?page={page}", session, retry=True)

    async def keep_chat(self, session: UUID, chat_id: UUID) -> None:
        """Makes a temporary chat an ordinary one."""
        await self._call("POST", f"/chats/{chat_id}/keep", session, retry=True)

    async def set_chat_defaults(self, session: UUID, chat_id: UUID) -> None:
        """Makes the settings of this chat those of new chats."""
        await self._call("PUT", f"/chats/{chat_id}/defaults", session, retry=True)

    async def delete_chat(self, session: UUID, chat_id: UUID) -> None:
        await self._call("DELETE", f"/chats/{chat_id}", session)

    async def restore_chat(self, session: UUID, chat_id: UUID) -> Chat:
        return cast(Chat, await self._call("POST", f"/chats/{chat_id}/restore", session, retry=True))

    async def show_branch(self, session: UUID, chat_id: UUID, message_id: UUID) -> None:
        await self._call("PUT", f"/chats/{chat_id}/tip", session, json={"message_id": str(message_id)}, retry=True)

    async def latest_chat(self, session: UUID, username: str) -> Chat:
        return cast(Chat, await self._call("GET", f"/chats/username/{_quote(username)}", session, retry=True))

    async def search(self, session: UUID, text: str, limit: int, *, typing: bool = False) -> SearchResults:
        """At most `limit` chats. While the user is typing, the last word also matches longer words."""
        path = f"/search?{urlencode({'q': text, 'typing': int(typing), 'limit': limit})}"
        return cast(SearchResults, await self._call("GET", path, session, retry=True))

    # Messages

    async def create_turn(self, session: UUID | None, chat_id: UUID, turn: NewTurn) -> Turn:
        """In this session, or in the one of the turn's `token_hash`. In a burst, turns wait before their deadline."""
        retry = bool(turn["message_id"])  # the client's id makes the request idempotent
        async with self._new_turn():
            return cast(Turn, await self._call("POST", f"/chats/{chat_id}/turns", session, json=turn, retry=retry))

    @asynccontextmanager
    async def _new_turn(self) -> AsyncIterator[None]:
        """Waits for one of MAX_NEW_TURNS. Raises Unavailable if that takes too long: the database hangs."""
        try:
            async with asyncio.timeout(TURN_WAIT_SECONDS):
                await self._new_turns.acquire()
        except TimeoutError as error:
            raise Unavailable from error
        try:
            yield
        finally:
            self._new_turns.release()

    async def message(self, session: UUID, chat_id: UUID, message_id: UUID) -> Message:
        return cast(Message, await self._call("GET", f"/chats/{chat_id}/messages/{message_id}", session, retry=True))

    async def prompt(self, session: UUID, chat_id: UUID, message_id: UUID) -> Prompt:
        return cast(
            Prompt,
            await self._call("GET", f"/chats/{chat_id}/messages/{message_id}/prompt", session, retry=True),
        )

    async def regenerate(
        self,
        session: UUID,
        chat_id: UUID,
        message_id: UUID,
        claim: Claim | None,
        address: str,
        default_model: str,
        asked: GenerationRequest,
    ) -> StartedAnswer:
        path = f"/chats/{chat_id}/messages/{message_id}/answers"
        wanted = {"claim": claim, "address": address, "default_model": default_model, "request": asked}
        return cast(StartedAnswer, await self._call("POST", path, session, json=wanted))

    async def continue_answer(
        self, session: UUID, chat_id: UUID, message_id: UUID, claim: Claim | None, address: str
    ) -> StartedAnswer:
        path = f"/chats/{chat_id}/messages/{message_id}/continue"
        return cast(StartedAnswer, await self._call("POST", path, session, json={"claim": claim, "address": address}))

    async def edit_answer(self, session: UUID, chat_id: UUID, message_id: UUID, content: str) -> Version:
        path = f"/chats/{chat_id}/messages/{message_id}/versions"
        return cast(Version, await self._call("POST", path, session, json={"content": content}, retry=True))

    async def delete_message(self, session: UUID, chat_id: UUID, message_id: UUID) -> None:
        await self._call("DELETE", f"/chats/{chat_id}/messages/{message_id}", session)

    async def stop(self, session: UUID, chat_id: UUID, message_id: UUID) -> Status:
        """Returns the status afterwards."""
        stopped = await self._call("POST", f"/chats/{chat_id}/messages/{message_id}/stop", session, retry=True)
        return cast(dict[str, Status], stopped)["status"]

    # The generation log

    async def claim(self, claim: Claim) -> ClaimedList:
        return cast(ClaimedList, await self._call("POST", "/generations/claim", json=claim))

    async def append(self, rows: Sequence[AppendRow], lease: float) -> tuple[set[str], set[str]]:
        """Returns the ids of accepted rows, and those among them whose stop was requested."""
        result = cast(
            dict[str, list[str]],
            await self._call("POST", "/generations/append", json={"lease": lease, "entries": rows}),
        )
        return set(result["ok"]), set(result["stop"])

    async def finish(self, end: Finish) -> tuple[bool, bool]:
        """Returns whether this call finished the answer, and whether another answer waits for a slot."""
        finished = cast(dict[str, bool], await self._call("POST", "/generations/finish", json=end))
        return finished["done"], finished["waiting"]

    async def rename(self, generation_id: str, fencing_token: int, key: str) -> bool:
        new = {"id": generation_id, "fence": fencing_token, "upstream_key": key}
        return cast(dict[str, bool], await self._call("POST", "/generations/rename", json=new, retry=True))["done"]

    async def release(self, held: Sequence[tuple[str, int]]) -> None:
        """Ends the leases of these answers, by generation id and fencing token."""
        await self._call("POST", "/generations/release", json={"entries": held}, retry=True)

    async def read(self, cursors: Sequence[tuple[str, int]]) -> Log:
        """The states of these answers and their chunks after a seq, by generation id and seq."""
        log = cast("_Log", await self._call("POST", "/generations/read", json={"entries": cursors}, retry=True))
        chunks: dict[str, list[Chunk]] = {}
        for generation_id, seq, fencing_token, kind, text in log["chunks"]:
            chunks.setdefault(generation_id, []).append(Chunk(seq, fencing_token, kind, text))
        return Log({state["id"]: state for state in log["states"]}, chunks)

    async def notifications(self, owner: str, lease: float, silence: float) -> AsyncIterator[Notification]:
        """Yields until the connection is lost, then raises Unavailable.

        The connection also shows dbapi that this process lives: after its end, dbapi ends the leases that this
        process does not renew for `silence` seconds.
        """
        path = f"/events?owner={_quote(owner)}&lease={lease}&silence={silence}"
        async with aclosing(self._connection.lines(path)) as lines:
            async for line in lines:
                yield _notification(cast("_NotificationLine", line))

    async def ready(self) -> None:
        """Raises Unavailable with the reason, also if dbapi rejects this process's credential."""
        await self._call("GET", "/readyz")

    async def close(self) -> None:
        await self._connection.close()


class _Log(TypedDict):
    states: list[AnswerState]
    chunks: list[tuple[str, int, int, int, str]]


class _NotificationLine(TypedDict, total=False):
    """One line of dbapi's /events. `log` maps generation ids to "seq", "seq:status" or "seq:stop"."""

    log: dict[str, str]
    chats: list[tuple[str, str, int | None]]
    signed_out: list[str]
    work: bool
    lost: bool


def _notification(line: _NotificationLine) -> Notification:
    changes = [_log_change(*change) for change in line.get("log", {}).items()]
    chats = [ChatRevision(UUID(session), UUID(chat), revision) for session, chat, revision in line.get("chats", [])]
    return Notification(changes, chats, line.get("signed_out", []), line.get("work", False), line.get("lost", False))


def _log_change(generation_id: str, change: str) -> LogChange:
    seq, _, status = change.partition(":")
    is_stop = status == "stop"
    return LogChange(generation_id, int(seq), "" if is_stop else status, is_stop)


def _quote(text: str) -> str:
    return quote(text, safe="").replace(".", "%2E")  # "." and ".." would be path segments
