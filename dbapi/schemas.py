"""What requests and answers look like. Unknown fields are ignored, never stored."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from kit.text import clean, is_blank

NAME_CODE_POINTS = 100

Status = Literal["queued", "streaming", "complete", "stopped", "failed"]
Text = Annotated[str, AfterValidator(clean)]


def _not_too_long(text: str, info: ValidationInfo) -> str:
    """The longest message is a setting, which `body.read` brings along; 0 is no limit."""
    most = (info.context or {}).get("message_code_points", 0)
    if most and len(text) > most:
        raise ValueError(f"must have at most {most} characters")
    return text


def _not_blank(text: str) -> str:
    if is_blank(text):
        raise ValueError("must not be empty")
    return text


def _is_short(text: str) -> str:
    if len(text) > NAME_CODE_POINTS:
        raise ValueError(f"must have at most {NAME_CODE_POINTS} characters")
    return text


Username = Annotated[str, AfterValidator(clean), AfterValidator(str.strip), AfterValidator(_not_blank), AfterValidator(_is_short)]
Content = Annotated[str, AfterValidator(clean), AfterValidator(_not_blank), AfterValidator(_not_too_long)]


class Record(BaseModel):
    model_config = ConfigDict(from_attributes=True)


# Sessions and devices


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of a token, in hexadecimal")]
DeviceName = Annotated[Text, Field(max_length=100, description="what its owner may know it by")]


class DeviceToken(BaseModel):
    token_hash: Sha256


class NewDevice(DeviceToken):
    name: DeviceName = ""


class LinkedDevice(NewDevice):
    """A device that joins a session by a link's token."""

    link_hash: Sha256


class NewLink(BaseModel):
    token_hash: Sha256


class LinkMade(BaseModel):
    seconds: Annotated[int, Field(description="how long the link can be used")]


class DeviceRecord(Record):
    id: UUID
    name: str
    token_hash: Annotated[str, BeforeValidator(lambda value: value.hex() if isinstance(value, bytes) else value)]
    created_at: datetime
    last_seen_at: datetime


class DeviceList(BaseModel):
    devices: list[DeviceRecord]


class SignedOut(BaseModel):
    signed_out: int


class SessionId(BaseModel):
    session_id: UUID


# Chats


class FirstMessage(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: Annotated[Text, AfterValidator(_not_too_long)]


class NewChat(BaseModel):
    """A `system` message, which must be the first, becomes the chat's system prompt."""

    username: Username
    model: Annotated[Text, Field(max_length=200)] | None = None
    messages: Annotated[list[FirstMessage], Field(max_length=20)] = []


class MessageRecord(Record):
    id: UUID
    parent_id: UUID | None
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(description="of an answer that is being written: its text so far")]
    reasoning: str
    status: Status
    error: str | None
    model: str | None
    usage: dict[str, Any] | None
    timings: dict[str, Any] | None
    created_at: datetime
    generation_id: UUID | None = None
    last_seq: Annotated[int, Field(description="of an answer that is being written: its place in the log")] = 0
    fence: int = 0
    finish_reason: str | None = None
    siblings: Annotated[list[UUID], Field(description="all versions of this message, oldest first; itself among them")] = []


class ChatRecord(Record):
    id: UUID
    username: str
    title: str | None
    model: str | None
    system_prompt: str
    parameters: dict[str, Any]
    tip_id: UUID | None
    created_at: datetime
    updated_at: datetime


class ChatChange(BaseModel):
    """What is left out stays as it is; an empty title or model is taken away."""

    title: Annotated[Text, Field(max_length=200)] | None = None
    model: Annotated[Text, Field(max_length=200)] | None = None
    system_prompt: Annotated[Text, AfterValidator(_not_too_long)] | None = None
    parameters: "Parameters | None" = None


class Parameters(BaseModel):
    """How the model chooses its words; what is null is left to the model server."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0.5, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class Tip(BaseModel):
    message_id: UUID


class ChatWithMessages(ChatRecord):
    """Messages along the shown branch, oldest first, without the system prompt."""

    messages: list[MessageRecord]


class ChatInList(ChatRecord):
    running: Annotated[bool, Field(description="whether an answer is being written or waits")]


class ChatList(BaseModel):
    chats: list[ChatInList]


# Messages and turns


class NewMessage(BaseModel):
    role: Literal["user", "assistant"]
    content: Content


class NewTurn(BaseModel):
    """A user's message and the answer it asks for."""

    content: Content
    message_id: UUID | None = None
    parent_id: Annotated[UUID | None, Field(description="the answer it follows; by default the end of the shown branch")] = None
    at_root: Annotated[bool, Field(description="it follows nothing: another beginning of the chat")] = False
    request: dict[str, Any] = {}
    claim: "Claim | None" = None
    token_hash: Annotated[Sha256 | None, Field(description="of a device, in place of X-Session-ID")] = None


class Again(BaseModel):
    """Another answer, or more of the same one."""

    claim: "Claim | None" = None
    request: dict[str, Any] = {}


class Answering(BaseModel):
    message: MessageRecord
    claimed: "Claimed | None" = None


class Claim(BaseModel):
    """A process asks for work: `slots` is what the model server can do at once, over all processes."""

    owner: Annotated[str, Field(max_length=100)]
    slots: Annotated[int, Field(ge=0, le=100_000)]
    lease: Annotated[float, Field(gt=0, le=3600, description="seconds")]


class Claimed(Record):
    """An answer that is now the claimer's to write, until its lease ends or its fence is passed."""

    id: UUID
    session_id: UUID
    chat_id: UUID
    message_id: UUID
    fence: int
    last_seq: int
    previous_key: str | None
    upstream_key: str
    upstream_offset: int
    stop_requested: bool
    attempts: int
    request: dict[str, Any]


class Turn(BaseModel):
    session_id: UUID
    user: MessageRecord
    assistant: MessageRecord
    created: Annotated[bool, Field(description="false if this very turn was there before")]
    claimed: Claimed | None = None
    prompt: "Annotated[Prompt | None, Field(description='of a claimed answer, so that its writer need not ask')]" = None


class PromptMessage(Record):
    role: Literal["user", "assistant"]
    content: str


class Prompt(BaseModel):
    """What the model is asked for one answer: the branch that leads to it."""

    system_prompt: str
    messages: list[PromptMessage]


class Stopped(BaseModel):
    status: Status


# The log

Append = tuple[UUID, int, int | None, int, Text, int | None]


class Appends(BaseModel):
    """New text of any number of answers: id, fence, seq (null: only renew the lease), kind, text, offset in the model server's stream."""

    lease: Annotated[float, Field(gt=0, le=3600)]
    entries: list[Append]


class Appended(BaseModel):
    ok: list[UUID]
    stop: Annotated[list[UUID], Field(description="those of `ok` that somebody asked to stop")]


class Finish(BaseModel):
    id: UUID
    fence: int
    last_seq: int
    status: Literal["complete", "stopped", "failed"]
    error: Annotated[Text, Field(max_length=1000)] | None = None
    finish_reason: Annotated[Text, Field(max_length=100)] | None = None
    usage: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None


class Finished(BaseModel):
    done: bool
    waiting: Annotated[bool, Field(description="another answer waits for a slot, perhaps for this one's")] = False


class Done(BaseModel):
    done: bool


class Rename(BaseModel):
    id: UUID
    fence: int
    upstream_key: Annotated[str, Field(max_length=200)]


class Held(BaseModel):
    """Answers by id and fence."""

    entries: list[tuple[UUID, int]]


class Released(BaseModel):
    released: int


class Places(BaseModel):
    """Answers by id and the last seq that is known of each."""

    entries: list[tuple[UUID, int]]


class State(Record):
    id: UUID
    status: Status
    fence: int
    last_seq: int
    place: Annotated[int | None, Field(description="of a queued answer: 1 is the next to start")]


class Log(BaseModel):
    """State of each answer, and its chunks after the given seq: generation id, seq, fence, kind, text."""

    states: list[State]
    chunks: list[tuple[UUID, int, int, int, str]]


class ClaimedList(BaseModel):
    claimed: list[Claimed]
    waiting: int
    streaming: int
    next_expiry: Annotated[float | None, Field(description="seconds until the earliest lease ends")]
