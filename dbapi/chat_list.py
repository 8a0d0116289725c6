"""The list of a session's chats: page by page, and changes of several chats at once."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from dbapi.auth import CANONICAL_UUID, SessionId
from dbapi.endpoint import Query, endpoint, number
from dbapi.schemas.chats import ChangedChats, ChatInList, ChatList, ChatRecord, ChatsChange
from dbapi.sql import chat_list, chats
from dbapi.sql.chat_list import Listed, Place
from dbapi.state import Request
from dbapi.tables import Chat

MAX_CHATS = 200
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
CURSOR = re.compile(rf"(p?)([0-9]{{1,17}})\.({CANONICAL_UUID.pattern})")  # pinned, microseconds, id


def _place(text: str) -> Place | None:
    """The place that a cursor names; None for any other text."""
    if not (cursor := CURSOR.fullmatch(text)):
        return None
    pinned, microseconds, chat_id = cursor[1], cursor[2], cursor[3]
    return Place(bool(pinned), EPOCH + int(microseconds) * MICROSECOND, UUID(chat_id))


def _cursor(chat: Chat) -> str:
    return f"{'p' if chat.pinned else ''}{(chat.updated_at - EPOCH) // MICROSECOND}.{chat.id}"


def _id(text: str) -> UUID | None:
    return UUID(text) if CANONICAL_UUID.fullmatch(text) else None


def _limit(text: str) -> int:
    return min(max(1, number(MAX_CHATS)(text)), MAX_CHATS)


After = Annotated[Place | None, Query(_place, {"type": "string"})]
IsArchived = Annotated[bool, Query(lambda text: text == "1", {"type": "integer", "minimum": 0, "maximum": 1})]
Limit = Annotated[int, Query(_limit, {"type": "integer", "minimum": 1, "maximum": MAX_CHATS})]
Seen = Annotated[UUID | None, Query(_id, {"type": "string"})]
Offset = Annotated[int, Query(number(0), {"type": "integer", "minimum": 0, "maximum": 9_999_999})]


@endpoint()
async def index(
    request: Request,
    session: SessionId,
    after: After = None,
    archived: IsArchived = False,
    limit: Limit = MAX_CHATS,
    seen: Seen = None,
    offset: Offset = 0,
) -> ChatList:
    """Lists chats: pinned ones, then the others, the latest first.

    `?archived=1` lists the archived chats, which are left out otherwise.
    `next` of the response is the cursor `?after=` of the next page. The pages contain each chat that keeps its place
    once, whatever happens to the others meanwhile. `?seen=` names the chat that the user is looking at: it is no longer
    unread. `?offset=N` leaves out N chats that are not pinned, for callers that do not know cursors.
    """
    async with request.state["database"].session(session) as db:
        if seen:
            await chat_list.mark_seen(db, session, seen)
        state = await chat_list.state(db, session)  # first: the list may be newer than its state, but not older
        found = await chat_list.page(db, session, limit + 1, archived, after, offset)
    shown = found[:limit]
    cursor = _cursor(shown[-1].chat) if len(found) > limit else None
    return ChatList(chats=[_in_list(each) for each in shown], state=state, next=cursor)


def _in_list(listed: Listed) -> ChatInList:
    record = ChatRecord.model_validate(listed.chat).model_dump()
    return ChatInList(**record, running=listed.running, unread=listed.unread)


@endpoint()
async def change_many(request: Request, session: SessionId, wanted: ChatsChange) -> ChangedChats:
    """Pins, archives, deletes or restores up to 100 chats. Ids of other chats have no effect."""
    values = chats.flags(wanted.pinned, wanted.archived)
    async with request.state["database"].write(session) as db:
        return ChangedChats(ids=await chats.change_many(db, session, wanted.ids, values, wanted.deleted))
