"""Messages and turns."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from dbapi.schemas.fields import AddressHash, Content, Output, Sha256, Status, Text
from dbapi.schemas.generations import Claim, Claimed
from kit.text import clean

MAX_MODEL_CODE_POINTS = 200


def _with_model(parameters: dict[str, Any]) -> dict[str, Any]:
    model = parameters.get("model")
    if model is None:
        return parameters
    if not isinstance(model, str) or len(model) > MAX_MODEL_CODE_POINTS:
        raise ValueError(f"the model must be a name of at most {MAX_MODEL_CODE_POINTS} characters")
    return parameters | {"model": clean(model)}


Parameters = Annotated[
    dict[str, Any], AfterValidator(_with_model), Field(description="of this answer, instead of those of the chat")
]


class NewMessage(BaseModel):
    role: Literal["user", "assistant"]
    content: Content


class MessageRecord(Output):
    id: UUID
    parent_id: UUID | None
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(description="of an unfinished answer: its text so far")]
    reasoning: str
    status: Status
    error: str | None
    model: str | None
    usage: dict[str, Any] | None
    timings: dict[str, Any] | None
    created_at: datetime
    generation_id: UUID | None = None
    last_seq: Annotated[int, Field(description="of an unfinished answer: the log position of `content`")] = 0
    fence: int = 0
    finish_reason: str | None = None
    siblings: list[UUID] = Field(default=[], description="all versions of this message and itself, oldest first")


class NewTurn(BaseModel):
    """A user's message and the request for its answer."""

    content: Content
    message_id: UUID | None = None
    parent_id: Annotated[
        UUID | None, Field(description="the answer it follows; by default the end of the shown branch")
    ] = None
    at_root: Annotated[bool, Field(description="it follows no message: another beginning of the chat")] = False
    default_model: Annotated[
        Text, Field(max_length=200, description="the name of the answer's model, if the chat has none")
    ] = ""
    request: Parameters = {}
    claim: Claim | None = None
    token_hash: Annotated[Sha256 | None, Field(description="of a device, instead of X-Session-ID")] = None
    address: AddressHash | None = None


class EditedAnswer(BaseModel):
    content: Content


class Version(Output):
    """A version of an answer."""

    id: UUID
    created: Annotated[bool, Field(description="false if a version with this text existed")]


class PromptMessage(Output):
    role: Literal["user", "assistant"]
    content: str


class Prompt(Output):
    """The model's input for one answer: the branch that leads to it."""

    system_prompt: str
    messages: list[PromptMessage]
    wants_title: Annotated[
        bool, Field(description="the chat's title is its first words, and the model has not been asked for another")
    ] = False


class Turn(Output):
    session_id: UUID
    user: MessageRecord
    assistant: MessageRecord
    created: Annotated[bool, Field(description="false if the same turn was posted before")]
    claimed: Claimed | None = None
    prompt: Annotated[
        Prompt | None, Field(description="of a claimed answer, so that its writer need not request it")
    ] = None
    revision: Annotated[int, Field(description="of the chat with this turn, if it was created")] = 0
    replaces_tip: Annotated[
        bool, Field(description="the shown branch ended with a question without answer; this is a version of it")
    ] = False


class AnswerRequest(BaseModel):
    """Requests another answer, or the continuation of an answer."""

    claim: Claim | None = None
    request: Parameters = {}
    default_model: Annotated[
        Text, Field(max_length=200, description="the name of the answer's model, if the chat has none")
    ] = ""
    address: AddressHash | None = None


class StartedAnswer(Output):
    message: MessageRecord
    claimed: Claimed | None = None


class Stopped(Output):
    status: Status
