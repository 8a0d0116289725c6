"""Turns and their prompts, with asyncpg only: every answer needs them.

`connection` is in a transaction of the session: see `Database.read_turns` and `Database.write_turn`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from dbapi.errors import Conflict, NotFound
from dbapi.sql.branch import NUMBERED
from dbapi.titles import title_of

MAX_MESSAGES = 1_000_000


async def lock_chat(connection: asyncpg.Connection, session_id: UUID, chat_id: UUID) -> asyncpg.Record:
    """Writers of one chat take turns. Raises NotFound."""
    chat = await connection.fetchrow(_LOCK_CHAT, session_id, chat_id)
    if chat is None:
        raise NotFound
    return chat


_LOCK_CHAT = """
SELECT id, session_id, tip_id, model, system_prompt, parameters, title, title_from, is_temporary FROM chats
 WHERE session_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE
"""


async def chat_of_prompt(connection: asyncpg.Connection, session_id: UUID, chat_id: UUID) -> asyncpg.Record:
    """The part of a chat that its prompts need. Raises NotFound."""
    chat = await connection.fetchrow(_CHAT_OF_PROMPT, session_id, chat_id)
    if chat is None:
        raise NotFound
    return chat


_CHAT_OF_PROMPT = """
SELECT id, session_id, system_prompt, title, title_from, is_temporary FROM chats
 WHERE session_id = $1 AND id = $2 AND deleted_at IS NULL
"""


def wants_title(chat: Mapping[str, Any]) -> bool:
    """Whether the model shall write a title after this answer: the chat has its first words only, or will have them."""
    from_words = chat["title_from"] == "words" or (chat["title"] is None and chat["title_from"] is None)
    return from_words and not chat["is_temporary"]


async def unfinished_answers(
    connection: asyncpg.Connection, session_id: UUID, address: bytes | None
) -> tuple[int, int]:
    """The unfinished answers of the session and of the address.

    Locks both: of two simultaneous callers, one waits for the other's transaction.
    """
    row = await connection.fetchrow(_UNFINISHED, session_id, address)
    return row[0], row[1]


_UNFINISHED = "SELECT unfinished_answers($1), CASE WHEN $2::bytea IS NULL THEN 0 ELSE log_unfinished($2) END"


# Reading


async def message(connection: asyncpg.Connection, session_id: UUID, chat_id: UUID, message_id: UUID) -> asyncpg.Record:
    """Raises NotFound."""
    for row in await connection.fetch(NUMBERED, session_id, chat_id, message_id, 1):
        return row
    raise NotFound


async def prompt(
    connection: asyncpg.Connection, session_id: UUID, chat_id: UUID, tip_id: UUID
) -> Sequence[asyncpg.Record]:
    """The messages with text along the branch to `tip_id`, oldest first."""
    rows = await connection.fetch(NUMBERED, session_id, chat_id, tip_id, MAX_MESSAGES)
    return [row for row in rows if row["content"]]


async def find_turn(
    connection: asyncpg.Connection, chat: Mapping[str, Any], key: bytes
) -> tuple[asyncpg.Record, asyncpg.Record] | None:
    """The user's message stored under this key, and its first answer. Raises Conflict if its answers were deleted."""
    own = chat["session_id"], chat["id"]
    user_message = await connection.fetchval(_USER_MESSAGE, *own, key)
    if user_message is None:
        return None
    first_answer = await connection.fetchval(_FIRST_ANSWER, *own, user_message)
    if first_answer is None:
        raise Conflict("This message was sent before, and its answer was deleted.")
    return await message(connection, *own, user_message), await message(connection, *own, first_answer)


_USER_MESSAGE = "SELECT id FROM messages WHERE session_id = $1 AND chat_id = $2 AND turn_key = $3"
_FIRST_ANSWER = """
SELECT id FROM messages WHERE session_id = $1 AND chat_id = $2 AND parent_id = $3 ORDER BY position LIMIT 1
"""


def turn_key(client_id: UUID, content: str) -> bytes:
    return hashlib.sha256(client_id.bytes + content.encode()).digest()


async def check_parent(connection: asyncpg.Connection, chat: Mapping[str, Any], parent_id: UUID) -> None:
    """A user's message follows an answer. Raises NotFound unless the parent is an assistant's message of this chat."""
    if await connection.fetchval(_IS_ANSWER, chat["session_id"], chat["id"], parent_id) is None:
        raise NotFound


_IS_ANSWER = "SELECT id FROM messages WHERE session_id = $1 AND chat_id = $2 AND id = $3 AND role = 'assistant'"


# Writing. The chat is from `lock_chat`. The sampling parameters are stored with the answer; its prompt is the branch,
# which is read when the answer starts. Whoever writes has not left the chat. The statements name their columns: a
# connection keeps a statement prepared while a migration may add columns.


async def add_turn(
    connection: asyncpg.Connection,
    chat: Mapping[str, Any],
    content: str,
    parent_id: UUID | None,
    key: bytes | None,
    request: dict[str, Any],
    address: bytes | None = None,
    default_model: str = "",
) -> tuple[asyncpg.Record, asyncpg.Record]:
    """Adds the user's message and the queued answer, and shows their branch.

    A user's message cannot follow another one: if the parent is one, the new message becomes another version of it.
    A model in the request becomes that of the chat. The answer's row has its generation_id and the chat's new revision.
    """
    own = (
        chat["session_id"],
        chat["id"],
        parent_id,
        content,
        key,
        _model(chat, request, default_model),
        title_of(content),
    )
    values = _parameters(chat, request), address, request.get("model")
    user_message, assistant_message = await connection.fetch(_ADD_TURN, *own, *values)
    return user_message, assistant_message


# One statement, since every answer starts with it.
_ADD_TURN = """
WITH user_message AS (
  INSERT INTO messages (session_id, chat_id, parent_id, role, content, turn_key)
  VALUES ($1, $2, (SELECT CASE p.role WHEN 'user' THEN p.parent_id ELSE p.id END FROM messages p
                    WHERE p.session_id = $1 AND p.chat_id = $2 AND p.id = $3), 'user', $4, $5) RETURNING *
), assistant_message AS (
  INSERT INTO messages (session_id, chat_id, parent_id, role, status, model)
  SELECT session_id, chat_id, id, 'assistant', 'queued', $6 FROM user_message RETURNING *
), queued AS (
  INSERT INTO generations (session_id, chat_id, message_id, request, address)
  SELECT session_id, chat_id, id, $8, $9 FROM assistant_message RETURNING id
), shown AS (
  UPDATE chats SET tip_id = assistant_message.id, updated_at = clock_timestamp(), title = coalesce(title, $7),
                   title_from = CASE WHEN title IS NULL AND title_from IS NULL THEN 'words' ELSE title_from END,
                   left_at = NULL, model = coalesce($10, chats.model)
    FROM assistant_message WHERE chats.session_id = $1 AND chats.id = $2 RETURNING revision
)
SELECT id, parent_id, role, content, reasoning, status, error, model, usage, timings, created_at, position,
       NULL::uuid AS generation_id, (SELECT revision FROM shown) AS revision
  FROM user_message
 UNION ALL
SELECT id, parent_id, role, content, reasoning, status, error, model, usage, timings, created_at, position,
       (SELECT id FROM queued), (SELECT revision FROM shown)
  FROM assistant_message ORDER BY position
"""


async def add_answer(
    connection: asyncpg.Connection,
    chat: Mapping[str, Any],
    parent_id: UUID,
    request: dict[str, Any],
    address: bytes | None = None,
    default_model: str = "",
) -> asyncpg.Record:
    """Adds another queued answer to a user's message, and shows its branch. Returns its id and generation_id."""
    own = chat["session_id"], chat["id"], parent_id, _model(chat, request, default_model)
    return await connection.fetchrow(_ADD_ANSWER, *own, _parameters(chat, request), address)


_ADD_ANSWER = """
WITH assistant_message AS (
  INSERT INTO messages (session_id, chat_id, parent_id, role, status, model)
  VALUES ($1, $2, $3, 'assistant', 'queued', $4) RETURNING *
), queued AS (
  INSERT INTO generations (session_id, chat_id, message_id, request, address)
  SELECT session_id, chat_id, id, $5, $6 FROM assistant_message RETURNING id
), shown AS (
  UPDATE chats SET tip_id = assistant_message.id, updated_at = clock_timestamp(), left_at = NULL
    FROM assistant_message WHERE chats.session_id = $1 AND chats.id = $2
)
SELECT id, (SELECT id FROM queued) AS generation_id FROM assistant_message
"""


async def reopen_answer(
    connection: asyncpg.Connection, chat: Mapping[str, Any], answer: Mapping[str, Any], address: bytes | None = None
) -> UUID | None:
    """Queues a finished answer for continuation. Returns its generation's id, or None if it is not finished."""
    values = answer["id"], answer["content"], answer["reasoning"]
    generation_id: UUID | None = await connection.fetchval("SELECT log_reopen($1, $2, $3)", *values)
    if generation_id is not None:
        await connection.execute(_REOPEN_MESSAGE, chat["session_id"], chat["id"], answer["id"])
        await connection.execute(_SET_ADDRESS, chat["session_id"], generation_id, address)
    return generation_id


_REOPEN_MESSAGE = """
WITH changed AS (
  UPDATE chats SET tip_id = tip_id, left_at = NULL WHERE session_id = $1 AND id = $2
)
UPDATE messages SET status = 'queued', error = NULL WHERE session_id = $1 AND chat_id = $2 AND id = $3
"""

_SET_ADDRESS = "UPDATE generations SET address = $3 WHERE session_id = $1 AND id = $2"


def _model(chat: Mapping[str, Any], request: Mapping[str, Any], default_model: str) -> str | None:
    """The name that the answer shows."""
    return request.get("model") or chat["model"] or default_model or None


def _parameters(chat: Mapping[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    return {**chat["parameters"], **({"model": chat["model"]} if chat["model"] else {}), **request}
