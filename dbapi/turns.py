"""Turns, a user's message with its answer, and further answers to it."""

from uuid import UUID

import asyncpg

from dbapi.auth import SessionId
from dbapi.endpoint import endpoint
from dbapi.errors import Conflict, TooLarge, TooMany, Unauthorized
from dbapi.schemas.generations import Claim, Claimed
from dbapi.schemas.messages import AnswerRequest, MessageRecord, NewTurn, Prompt, PromptMessage, StartedAnswer, Turn
from dbapi.sql import log, turns
from dbapi.state import Request

RETRY_SECONDS = 5  # by then, one of many answers has probably ended
MAX_BRANCH_CODE_POINTS = 4_000_000  # about a million tokens: a branch is read as a whole, for prompts and exports


@endpoint(status=201, status_if_existing=200)
async def create(request: Request, session: SessionId | None, chat_id: UUID, new: NewTurn) -> Turn:
    """Stores the user's message and the queued answer, and claims the answer if the model has a free slot.

    The same `message_id` with the same content is the same turn, however often it is posted.
    """
    if session is None and new.token_hash is None:
        raise Unauthorized("X-Session-ID is missing.")
    named, token_hash = (None, bytes.fromhex(new.token_hash)) if new.token_hash else (session, b"")
    async with request.state["database"].write_turn(named, token_hash) as (connection, session_id):
        chat = await turns.lock_chat(connection, session_id, chat_id)
        key = turns.turn_key(new.message_id, new.content) if new.message_id else None
        if key and (existing := await turns.find_turn(connection, chat, key)):
            return _turn(session_id, existing, created=False)
        address = _bytes(new.address)
        await _check_answer_limits(request, connection, session_id, address)
        if new.parent_id:
            await turns.check_parent(connection, chat, new.parent_id)
        parent_id = None if new.at_root else new.parent_id or chat["tip_id"]
        added = await turns.add_turn(
            connection, chat, new.content, parent_id, key, new.request, address, new.default_model
        )
        claimed = await _claim(connection, new.claim, added[1]["generation_id"])
        prompt = await _prompt(connection, chat, added[0]["id"]) if claimed else None
    replaces_tip = added[0]["parent_id"] != parent_id
    revision = added[1]["revision"]
    return _turn(
        session_id, added, created=True, claimed=claimed, prompt=prompt, revision=revision, replaces_tip=replaces_tip
    )


def _turn(
    session_id: UUID,
    pair: tuple[asyncpg.Record, asyncpg.Record],
    created: bool,
    claimed: Claimed | None = None,
    prompt: Prompt | None = None,
    revision: int = 0,
    replaces_tip: bool = False,
) -> Turn:
    user, assistant = dict(pair[0]), dict(pair[1])
    if claimed:
        assistant["status"] = "streaming"
    return Turn(
        session_id=session_id,
        user=MessageRecord.model_validate(user),
        assistant=MessageRecord.model_validate(assistant),
        created=created,
        claimed=claimed,
        prompt=prompt,
        revision=revision,
        replaces_tip=replaces_tip,
    )


@endpoint(status=201)
async def regenerate(
    request: Request, session: SessionId, chat_id: UUID, message_id: UUID, wanted: AnswerRequest
) -> StartedAnswer:
    """Adds another answer to the same message, or an answer to this message, and keeps the earlier ones."""
    async with request.state["database"].write_turn(session) as (connection, _):
        chat = await turns.lock_chat(connection, session, chat_id)
        message = await turns.message(connection, session, chat_id, message_id)
        question_id = message["id"] if message["role"] == "user" else message["parent_id"]
        if question_id is None:
            raise Conflict("Only an answer can be regenerated.")
        address = _bytes(wanted.address)
        await _check_answer_limits(request, connection, session, address)
        added = await turns.add_answer(connection, chat, question_id, wanted.request, address, wanted.default_model)
        claimed = await _claim(connection, wanted.claim, added["generation_id"])
        message = await turns.message(connection, session, chat_id, added["id"])
    return StartedAnswer(message=MessageRecord.model_validate(dict(message)), claimed=claimed)


@endpoint()
async def continue_answer(
    request: Request, session: SessionId, chat_id: UUID, message_id: UUID, wanted: AnswerRequest
) -> StartedAnswer:
    """Continues an answer that was stopped, failed or reached its length limit."""
    async with request.state["database"].write_turn(session) as (connection, _):
        chat = await turns.lock_chat(connection, session, chat_id)
        earlier = await turns.message(connection, session, chat_id, message_id)
        address = _bytes(wanted.address)
        await _check_answer_limits(request, connection, session, address)
        generation_id = await turns.reopen_answer(connection, chat, earlier, address)
        if generation_id is None:
            raise Conflict("This answer is not finished, or the model did not write it.")
        claimed = await _claim(connection, wanted.claim, generation_id)
        message = await turns.message(connection, session, chat_id, message_id)
    return StartedAnswer(message=MessageRecord.model_validate(dict(message)), claimed=claimed)


def _bytes(address: str | None) -> bytes | None:
    return bytes.fromhex(address) if address else None


async def _check_answer_limits(
    request: Request, connection: asyncpg.Connection, session_id: UUID, address: bytes | None
) -> None:
    """Raises TooMany if the session or the client's address has as many unfinished answers as it may."""
    most, most_of_address = request.state["answers_per_session"], request.state["answers_per_address"]
    if not most and not most_of_address:
        return
    limited = address if most_of_address else None
    own, of_address = await turns.unfinished_answers(connection, session_id, limited)
    if most and own >= most:
        raise TooMany(f"{most} of your answers are running or waiting already.", RETRY_SECONDS)
    if most_of_address and of_address >= most_of_address:
        raise TooMany(f"{most_of_address} answers of your network are running or waiting already.", RETRY_SECONDS)


async def _claim(connection: asyncpg.Connection, claim: Claim | None, generation_id: UUID) -> Claimed | None:
    if claim is None:
        return None
    for row in await log.claim(connection, claim.owner, claim.all_pools, claim.lease, only=generation_id):
        return Claimed.model_validate(dict(row))
    return None


async def _prompt(connection: asyncpg.Connection, chat: asyncpg.Record, tip_id: UUID) -> Prompt:
    """Raises TooLarge for a branch that no model can read."""
    branch = await turns.prompt(connection, chat["session_id"], chat["id"], tip_id)
    if sum(len(row["content"]) for row in branch) > MAX_BRANCH_CODE_POINTS:
        raise TooLarge("This chat is too long to be continued. Please start a new one.")
    messages = [PromptMessage.model_validate(dict(row)) for row in branch]
    return Prompt(system_prompt=chat["system_prompt"], messages=messages, wants_title=turns.wants_title(chat))
