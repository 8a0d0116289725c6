"""Search in the titles and messages of one session."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from dbapi.auth import SessionId
from dbapi.endpoint import Query, endpoint, number
from dbapi.schemas.search import FoundChat, FoundMessage, SearchResults, TextPart
from dbapi.search_query import MAX_CODE_POINTS, parse, plain_words, tsquery
from dbapi.snippets import Highlighter, Part
from dbapi.sql import search
from dbapi.sql.search import Chat, Found, Message
from dbapi.state import Request
from kit.text import clean

DEFAULT_CHATS, MAX_CHATS = 20, 50
MAX_MESSAGES = 3  # of a chat
TITLE_RANK = 1.0  # messages have less
AGE_OF_HALF_RANK = timedelta(days=30)


def _limit(text: str) -> int:
    return min(max(1, number(DEFAULT_CHATS)(text)), MAX_CHATS)


Words = Annotated[str, Query(lambda text: clean(text[:MAX_CODE_POINTS]), {"type": "string"})]
IsTyping = Annotated[bool, Query(lambda text: text == "1", {"type": "integer", "minimum": 0, "maximum": 1})]
Limit = Annotated[int, Query(_limit, {"type": "integer", "minimum": 1, "maximum": MAX_CHATS})]


@endpoint()
async def index(
    request: Request, session: SessionId, q: Words = "", typing: IsTyping = False, limit: Limit = DEFAULT_CHATS
) -> SearchResults:
    """Finds messages and titles by their words, "phrases", prefixes* and -exclusions, and returns the best chats.

    With `?typing=1`, the last word may be unfinished. Any text is a query; without a word, it finds nothing.
    """
    clauses = parse(q, typing)
    if not clauses:
        return SearchResults(results=[], is_complete=True)
    async with request.state["database"].search(session) as db:
        found = await search.find(db, session, tsquery(clauses), plain_words(clauses))
        best = _best(found, limit)
        stored = [message.id for result in best for message in result.messages if not message.is_running]
        contents = await search.contents(db, session, stored)
    highlighter = Highlighter(clauses)
    results = [await _with_snippets(result, contents, highlighter) for result in best]
    return SearchResults(results=results, is_complete=found.is_complete)


@dataclass(frozen=True)
class _Result:
    chat: Chat
    messages: Sequence[Message]
    score: float


def _best(found: Found, limit: int) -> list[_Result]:
    """The best chats, each with its best messages."""
    chats = {chat.id: chat for chat in [*found.titles, *(message.chat for message in found.messages)]}
    messages: defaultdict[UUID, list[Message]] = defaultdict(list)
    for message in found.messages:
        messages[message.chat.id].append(message)
    titles = {chat.id for chat in found.titles}
    now = max((chat.updated_at for chat in chats.values()), default=datetime.min)
    results = [_result(chat, messages[chat.id], chat.id in titles, now) for chat in chats.values()]
    return sorted(results, key=lambda each: (each.score, each.chat.updated_at, each.chat.id), reverse=True)[:limit]


def _result(chat: Chat, messages: Sequence[Message], is_title_found: bool, now: datetime) -> _Result:
    def score(message: Message) -> float:
        return _aged(message.rank, now - message.created_at)

    best = sorted(messages, key=lambda each: (score(each), each.created_at, each.id), reverse=True)[:MAX_MESSAGES]
    of_title = _aged(TITLE_RANK, now - chat.updated_at) if is_title_found else 0.0
    return _Result(chat, best, of_title + (score(best[0]) if best else 0.0))


def _aged(rank: float, age: timedelta) -> float:
    return rank / (1 + max(age, timedelta()) / AGE_OF_HALF_RANK)


async def _with_snippets(result: _Result, contents: dict[UUID, str], highlighter: Highlighter) -> FoundChat:
    hits = []
    for message in result.messages:
        text = contents.get(message.id, "") if message.content is None else message.content
        hits.append(_hit(message, highlighter.snippet(text)))
        await asyncio.sleep(0)  # a long text takes some milliseconds, after which others have their turn
    title = _parts(highlighter.mark(result.chat.title or ""))
    return FoundChat(chat_id=result.chat.id, title=title, updated_at=result.chat.updated_at, hits=hits)


def _hit(message: Message, snippet: Sequence[Part]) -> FoundMessage:
    return FoundMessage(
        message_id=message.id,
        role=message.role,
        created_at=message.created_at,
        snippet=_parts(snippet),
        is_running=message.is_running,
    )


def _parts(parts: Sequence[Part]) -> list[TextPart]:
    return [TextPart(text=part.text, is_match=part.is_match) for part in parts]
