"""Messages of a chat, and turns: a user's message with the answer it asks for."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from dbapi import body
from dbapi.auth import session_id
from dbapi.database import driver
from dbapi.errors import Conflict, TooMany
from dbapi.schemas import Again, Answering, Claim, Claimed, MessageRecord, NewMessage, NewTurn, Prompt, PromptMessage, Stopped, Turn
from dbapi.sql import chats, log, messages, sessions

ANSWER_SECONDS = 5  # after which one of many answers may well have ended


async def create(request: Request) -> Response:
    """Adds a message at the end of the shown branch; nothing answers it."""
    session, new = session_id(request), await body.read(request, NewMessage)
    async with request.state["database"].writing(session) as db:
        chat = await chats.get(db, session, request.path_params["chat_id"], lock=True)
        added = await messages.add(db, chat, role=new.role, content=new.content, parent_id=chat.tip_id)
    return body.answer(MessageRecord.model_validate(added), 201)


async def create_turn(request: Request) -> Response:
    """The user's message, the empty answer and its place in the queue, in one transaction; claimed at once if the model is free.

    The same `message_id` with the same content is the same turn, however often and wherever it is posted.
    """
    new = await body.read(request, NewTurn)
    named, token_hash = (None, bytes.fromhex(new.token_hash)) if new.token_hash else (session_id(request), b"")
    async with request.state["database"].raw_writing(named, token_hash) as (raw, session):
        chat = await chats.lock(raw, session, request.path_params["chat_id"])
        key = messages.turn_key(new.message_id, new.content) if new.message_id else None
        if key and (known := await messages.turn(raw, chat, key)):
            user, assistant = (MessageRecord.model_validate(dict(message)) for message in known)
            return body.answer(Turn(session_id=session, user=user, assistant=assistant, created=False))
        await _check_room(request, raw, session)
        if new.parent_id:
            await messages.check_parent(raw, chat, new.parent_id)
        parent_id = None if new.at_root else new.parent_id or chat["tip_id"]
        asked, answered, generation_id = await messages.add_turn(raw, chat, new.content, parent_id, key, new.request)
        claimed = await _claim(raw, new.claim, generation_id)
        prompt = await _prompt(raw, chat["system_prompt"], session, chat["id"], asked["id"]) if claimed else None
    assistant = MessageRecord.model_validate({**answered, "status": "streaming" if claimed else "queued"})
    user = MessageRecord.model_validate(dict(asked))
    return body.answer(Turn(session_id=session, user=user, assistant=assistant, created=True, claimed=claimed, prompt=prompt), 201)


async def regenerate(request: Request) -> Response:
    """Another answer to the same message, beside the ones there are."""
    session, chat_id, again = session_id(request), request.path_params["chat_id"], await body.read(request, Again)
    async with request.state["database"].writing(session) as db:
        chat = await chats.get(db, session, chat_id, lock=True)
        earlier = await messages.get(await driver(db), session, chat_id, request.path_params["message_id"])
        if earlier["role"] != "assistant" or earlier["parent_id"] is None:
            raise Conflict("Only an answer can be given anew.")
        await _check_room(request, await driver(db), session)
        added = await messages.add(db, chat, role="assistant", parent_id=earlier["parent_id"], status="queued", model=chat.model)
        generation_id = await messages.queue_answer(db, chat, added, again.request)
        claimed = await _claim(await driver(db), again.claim, generation_id)
    message = MessageRecord.model_validate(added).model_copy(update={"generation_id": generation_id})
    return body.answer(Answering(message=message, claimed=claimed), 201)


async def go_on(request: Request) -> Response:
    """More of an answer that was stopped, failed or cut off."""
    session, chat_id, again = session_id(request), request.path_params["chat_id"], await body.read(request, Again)
    async with request.state["database"].writing(session) as db:
        chat = await chats.get(db, session, chat_id, lock=True)
        earlier = await messages.get(await driver(db), session, chat_id, request.path_params["message_id"])
        await _check_room(request, await driver(db), session)
        generation_id = await messages.reopen(db, chat, earlier)
        if generation_id is None:
            raise Conflict("This answer is not finished, or was not written by the model.")
        claimed = await _claim(await driver(db), again.claim, generation_id)
        message = await messages.get(await driver(db), session, chat_id, earlier["id"])
    return body.answer(Answering(message=MessageRecord.model_validate(dict(message)), claimed=claimed))


async def delete(request: Request) -> Response:
    """Deletes a user's message and its answers; what followed moves up."""
    session = session_id(request)
    async with request.state["database"].writing(session) as db:
        chat = await chats.get(db, session, request.path_params["chat_id"], lock=True)
        await messages.delete_pair(db, chat, request.path_params["message_id"])
    return Response(status_code=204)


async def _check_room(request: Request, raw: Any, session: UUID) -> None:
    """Raises TooMany when this session has as many answers running and waiting as it may."""
    most = request.state["answers_per_session"]
    if most and await sessions.unfinished_answers(raw, session) >= most:
        raise TooMany(f"{most} of your answers are being written or wait already.", ANSWER_SECONDS)


async def _claim(raw: Any, claim: Claim | None, generation_id: UUID) -> Claimed | None:
    if claim is None:
        return None
    for row in await log.claim(raw, claim.owner, claim.slots, claim.lease, only=generation_id):
        return Claimed.model_validate(dict(row))
    return None


async def show(request: Request) -> Response:
    """A message; of an answer that is being written, its text so far and its place in the log."""
    session = session_id(request)
    async with request.state["database"].raw_session(session) as raw:
        found = await messages.get(raw, session, request.path_params["chat_id"], request.path_params["message_id"])
    return body.answer(MessageRecord.model_validate(dict(found)))


async def prompt(request: Request) -> Response:
    """What the model is asked for this answer."""
    session, chat_id = session_id(request), request.path_params["chat_id"]
    async with request.state["database"].raw_session(session) as raw:
        answer = await messages.get(raw, session, chat_id, request.path_params["message_id"])
        system_prompt = await chats.system_prompt(raw, session, chat_id)
        return body.answer(await _prompt(raw, system_prompt, session, chat_id, answer["parent_id"]))


async def _prompt(raw: Any, system_prompt: str, session: UUID, chat_id: UUID, tip_id: UUID) -> Prompt:
    asked = await messages.prompt(raw, session, chat_id, tip_id)
    return Prompt(system_prompt=system_prompt, messages=[PromptMessage.model_validate(dict(message)) for message in asked])


async def stop(request: Request) -> Response:
    """Asks a running answer to stop, ends a queued one, leaves a finished one as it is."""
    session = session_id(request)
    async with request.state["database"].session(session) as db:
        status = await messages.stop(db, session, request.path_params["chat_id"], request.path_params["message_id"])
    return body.answer(Stopped(status=status))  # type: ignore[arg-type]
