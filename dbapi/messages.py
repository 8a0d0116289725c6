"""Messages of a chat."""

from uuid import UUID

from dbapi.auth import SessionId
from dbapi.endpoint import endpoint
from dbapi.schemas.messages import EditedAnswer, MessageRecord, NewMessage, Prompt, Stopped, Version
from dbapi.sql import chats, messages, turns
from dbapi.state import Request


@endpoint(status=201)
async def create(request: Request, session: SessionId, chat_id: UUID, new: NewMessage) -> MessageRecord:
    """Adds a message at the end of the shown branch, without an answer."""
    async with request.state["database"].write(session) as db:
        chat = await chats.get(db, session, chat_id, lock=True)
        added = await messages.add(db, chat, role=new.role, content=new.content, parent_id=chat.tip_id)
    return MessageRecord.model_validate(added)


@endpoint()
async def show(request: Request, session: SessionId, chat_id: UUID, message_id: UUID) -> MessageRecord:
    """Returns a message; an unfinished answer with its text so far and its log position."""
    async with request.state["database"].read_turns(session) as connection:
        found = await turns.message(connection, session, chat_id, message_id)
    return MessageRecord.model_validate(dict(found))


@endpoint(status=201, status_if_existing=200)
async def edit(request: Request, session: SessionId, chat_id: UUID, message_id: UUID, edited: EditedAnswer) -> Version:
    """Adds a version of a finished answer with this text, and shows it. The earlier ones remain.

    A text that a version has already adds no other one.
    """
    async with request.state["database"].write(session) as db:
        chat = await chats.get(db, session, chat_id, lock=True)
        version_id, created = await messages.edit_answer(db, chat, message_id, edited.content)
    return Version(id=version_id, created=created)


@endpoint(status=204)
async def delete(request: Request, session: SessionId, chat_id: UUID, message_id: UUID) -> None:
    """Deletes a user's message with its answers, or one version of a finished answer.

    Messages that followed a user's message and its answers move up. Messages that followed a version of an answer
    follow the nearest other version; without another version, they are deleted as well, and the question remains.
    """
    async with request.state["database"].write(session) as db:
        chat = await chats.get(db, session, chat_id, lock=True)
        await messages.delete(db, chat, message_id)


@endpoint()
async def prompt(request: Request, session: SessionId, chat_id: UUID, message_id: UUID) -> Prompt:
    """Returns the model's input for this answer."""
    async with request.state["database"].read_turns(session) as connection:
        answer = await turns.message(connection, session, chat_id, message_id)
        chat = await turns.chat_of_prompt(connection, session, chat_id)
        branch = await turns.prompt(connection, session, chat_id, answer["parent_id"])
    values = {"system_prompt": chat["system_prompt"], "wants_title": turns.wants_title(chat)}
    return Prompt.model_validate({**values, "messages": [dict(row) for row in branch]})


@endpoint()
async def stop(request: Request, session: SessionId, chat_id: UUID, message_id: UUID) -> Stopped:
    """Requests a running answer to stop, ends a queued one, does not change a finished one."""
    async with request.state["database"].session(session) as db:
        status = await messages.stop(db, session, chat_id, message_id)
    return Stopped.model_validate({"status": status})
