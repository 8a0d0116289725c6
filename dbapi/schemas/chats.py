"""Chats."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from dbapi.schemas.fields import Name, Output, Text, not_too_long
from dbapi.schemas.messages import MessageRecord


class FirstMessage(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: Annotated[Text, AfterValidator(not_too_long)]


class NewChat(BaseModel):
    """A `system` message must be the first and becomes the chat's system prompt."""

    username: Name
    model: Annotated[Text, Field(max_length=200)] | None = None
    messages: Annotated[list[FirstMessage], Field(max_length=20)] = []
    settings_of: Annotated[
        UUID | None, Field(description="take over the settings of this chat, instead of the session's defaults")
    ] = None
    reuse_empty: Annotated[bool, Field(description="return a chat without a user's message, if there is one")] = False
    is_temporary: Annotated[bool, Field(description="in no list and no search, and removed when it was left")] = False


class ChatRecord(Output):
    id: UUID
    username: str
    title: str | None
    model: str | None
    system_prompt: str
    parameters: dict[str, Any]
    tip_id: UUID | None
    created_at: datetime
    updated_at: datetime
    revision: Annotated[int, Field(description="how often the chat was changed")]
    pinned: Annotated[bool, Field(description="whether it is at the top of the list")]
    archived: Annotated[bool, Field(description="whether it is in a list of its own")]
    is_temporary: bool


class Parameters(BaseModel):
    """Sampling parameters. The model server chooses those that are null."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0.5, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class ChatChange(BaseModel):
    """Missing fields keep their value. An empty title or model is removed."""

    title: Annotated[Text, Field(max_length=200)] | None = None
    model: Annotated[Text, Field(max_length=200)] | None = None
    system_prompt: Annotated[Text, AfterValidator(not_too_long)] | None = None
    parameters: Parameters | None = None
    pinned: Annotated[bool | None, Field(description="also restores it from the archive")] = None
    archived: Annotated[bool | None, Field(description="also removes the pin")] = None


class ChatsChange(BaseModel):
    """Missing fields keep their value, as for a single chat. `deleted: false` restores deleted chats."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=100)]
    pinned: bool | None = None
    archived: bool | None = None
    deleted: bool | None = None


class ChangedChats(Output):
    ids: Annotated[list[UUID], Field(description="those that were found")]


class TitleWish(BaseModel):
    """The pool of the model, and how many answers it can write at once, over all processes."""

    pool: Annotated[Text, Field(max_length=300)] = ""
    slots: Annotated[int, Field(ge=0, le=100_000)]


class TitleRequest(Output):
    is_due: Annotated[bool, Field(description="request a title now; no other caller ever gets this response")]
    revision: Annotated[int, Field(description="of the chat; the request does not change it")]


class NewTitle(BaseModel):
    title: Annotated[Text, Field(min_length=1, max_length=80)]


class StoredTitle(Output):
    is_stored: Annotated[bool, Field(description="false if the user has set a title meanwhile")]


class Tip(BaseModel):
    message_id: UUID


class ChatWithMessages(ChatRecord):
    """Messages along the shown branch, oldest first, without the system prompt."""

    messages: list[MessageRecord]


class ChatInList(ChatRecord):
    running: Annotated[bool, Field(description="whether an answer is queued or being written")]
    unread: Annotated[bool, Field(description="whether an answer has ended since the chat was last seen")]


class ChatList(Output):
    chats: list[ChatInList]
    state: Annotated[str, Field(description="changes with the list")]
    next: Annotated[str | None, Field(description="the cursor of the next page, null on the last one")]


class ChatState(Output):
    """Pages that show another revision, or the list in another state, are out of date."""

    revision: int
    list_state: str
