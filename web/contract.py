"""The JSON that dbapi sends, as types. dbapi defines it in `dbapi/schemas/` and documents it in `/openapi.json`.

Timestamps are ISO 8601 strings and ids are UUIDs in their canonical form. Requests and responses only ever gain fields:
during a rolling update an old web process talks to a new dbapi.
"""

from typing import Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

Status = Literal["queued", "streaming", "complete", "stopped", "failed"]
FINAL = frozenset[Status](("complete", "stopped", "failed"))

Role = Literal["system", "user", "assistant"]

# Kinds of chunks in the generation log. RESTART discards all earlier text; its own text is a remark for the reader.
CONTENT, REASONING, RESTART = 0, 1, 2


class Parameters(TypedDict, total=False):
    """Sampling parameters of a chat. None or absent means the model server's default."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repeat_penalty: float | None
    max_tokens: int | None
    seed: int | None


class GenerationRequest(Parameters, total=False):
    """The parameters of one answer, frozen when it is queued."""

    model: str


Numbers = dict[str, object]  # usage and timings as the model server reports them: numbers, or objects of numbers


class Message(TypedDict):
    id: str
    parent_id: str | None
    role: Role
    content: str  # of an unfinished answer: the text so far
    reasoning: str
    status: Status
    error: str | None
    model: str | None
    usage: Numbers | None
    timings: Numbers | None
    created_at: str
    generation_id: str | None
    last_seq: int  # of an unfinished answer: its position in the log
    fence: int
    finish_reason: str | None
    siblings: list[str]  # all versions of this message, oldest first, including itself


class NewMessage(TypedDict):
    role: Role
    content: str


class Chat(TypedDict):
    id: str
    username: str
    title: str | None
    model: str | None
    system_prompt: str
    parameters: Parameters
    tip_id: str | None
    created_at: str
    updated_at: str
    revision: int  # how often it was changed
    is_temporary: bool
    pinned: bool
    archived: bool


class ListedChat(Chat):
    running: bool  # an answer is queued or streaming
    unread: bool  # an answer has ended since the chat was last seen


class ChatList(TypedDict):
    """Pinned chats, then the others, the latest first."""

    chats: list[ListedChat]
    state: str  # changes with the list
    next: str | None  # the cursor of the next page


class ChatState(TypedDict):
    """A page that shows something else is out of date."""

    revision: int
    list_state: str


class ChatWithMessages(Chat):
    """Messages along the shown branch, oldest first, without the system prompt."""

    messages: list[Message]


class ChatChange(TypedDict, total=False):
    """Absent fields stay as they are. An empty title or model is removed."""

    title: str
    model: str
    system_prompt: str
    parameters: Parameters
    pinned: bool  # True also restores it from the archive
    archived: bool  # True also removes the pin


class ChatsChange(TypedDict, total=False):
    """Like ChatChange, for several chats."""

    pinned: bool
    archived: bool
    deleted: bool  # False restores deleted chats


class NewPreset(TypedDict):
    """Named settings of a session. They replace those of the same name."""

    name: str
    model: str | None
    system_prompt: str
    parameters: Parameters


class ListedPreset(TypedDict):
    id: str
    name: str


class Preset(NewPreset, ListedPreset):
    created_at: str
    updated_at: str


class SnippetPart(TypedDict):
    text: str  # plain text
    is_match: bool


Snippet = list[SnippetPart]

MAX_QUERY_CODE_POINTS, MAX_FOUND_CHATS = 10_000, 50


class Hit(TypedDict):
    """A message that matches a query."""

    message_id: str
    role: Role
    created_at: str
    snippet: Snippet
    is_running: bool  # the answer is unfinished


class FoundChat(TypedDict):
    """A chat whose title or messages match a query."""

    chat_id: str
    title: Snippet  # empty if the chat has none
    updated_at: str
    hits: list[Hit]  # the best ones; none if only the title matches


class SearchResults(TypedDict):
    """The best chat first."""

    results: list[FoundChat]
    is_complete: bool  # False if the search was cut off by its time limit


class Device(TypedDict):
    id: str
    name: str
    token_hash: str  # SHA-256 in hexadecimal
    created_at: str
    last_seen_at: str


class Pool(TypedDict):
    """What shares slots, such as a model server. It writes the answers of the models that begin with a prefix."""

    name: str
    slots: int  # answers at once, over all processes
    prefixes: list[str]  # an empty one fits all models, `home` fits `home` and `home/model`; the longest one counts


class Claim(TypedDict):
    """A process requests work. `slots` are those of all pools, `lease` is in seconds."""

    owner: str
    slots: int
    lease: float
    pools: list[Pool]


class ClaimedAnswer(TypedDict):
    """An answer that the claimer writes until its lease ends or another process claims it."""

    id: str
    session_id: str
    chat_id: str
    message_id: str
    fence: int  # the fencing token of this claim
    last_seq: int
    previous_key: str | None  # the model server's stream that an earlier claim requested
    upstream_key: str
    upstream_offset: int
    stop_requested: bool
    attempts: int  # claims in a row without a new chunk, including this one
    request: GenerationRequest


class ClaimedList(TypedDict):
    claimed: list[ClaimedAnswer]
    waiting: int
    streaming: int
    next_expiry: float | None  # seconds until the earliest lease ends


class TitleRequest(TypedDict):
    """Whether this process may request a title. At most one ever may, for each chat."""

    is_due: bool
    revision: int  # of the chat


class PromptMessage(TypedDict):
    role: Role
    content: str


class Prompt(TypedDict):
    """The branch that leads to an answer."""

    system_prompt: str
    messages: list[PromptMessage]
    wants_title: NotRequired[bool]  # the model may be asked for one after this answer


class NewTurn(TypedDict):
    content: str
    message_id: str | None  # made by the client: the same id with the same content is the same turn
    parent_id: str | None  # the answer it follows; None is the end of the shown branch
    at_root: bool  # it follows nothing
    claim: Claim | None
    token_hash: str | None  # of the device, instead of the X-Session-ID header
    address: str  # keyed hash of the client's address
    default_model: str  # the name of the answer's model, if the chat has none
    request: NotRequired[GenerationRequest]  # its model becomes that of the chat


class Turn(TypedDict):
    session_id: str
    user: Message
    assistant: Message
    created: bool  # False if this turn existed before
    claimed: ClaimedAnswer | None
    prompt: Prompt | None
    revision: int  # of the chat with this turn
    replaces_tip: bool  # the chat ended with a question without answer; the user's message is another version of it


class Version(TypedDict):
    """A version of an answer."""

    id: str
    created: bool  # False if a version with this text existed


class StartedAnswer(TypedDict):
    """An answer that was regenerated or continued."""

    message: Message
    claimed: ClaimedAnswer | None


class Finish(TypedDict):
    id: str
    fence: int
    last_seq: int
    status: Status
    error: str | None
    finish_reason: str | None
    usage: Numbers | None
    timings: Numbers | None


class AnswerState(TypedDict):
    id: str
    status: Status
    fence: int
    last_seq: int
    place: int | None  # position in the queue; 1 starts next


class Chunk(NamedTuple):
    """A part of an answer. `seq` counts from 1 without gaps over the whole life of the answer."""

    seq: int
    fencing_token: int
    kind: int
    text: str


class Log(NamedTuple):
    """The state of each answer, and its chunks after the given seq, both by generation id.

    An answer without a state was deleted.
    """

    states: dict[str, AnswerState]
    chunks: dict[str, list[Chunk]]


# One row of an append: generation id, fencing token, seq (None only renews the lease), kind, text, offset in the
# model server's stream
AppendRow = tuple[str, int, int | None, int, str, int | None]


class LogChange(NamedTuple):
    """An answer has grown to `seq`, or changed its status, or a stop was requested."""

    generation_id: str
    seq: int
    status: str = ""  # empty for an append
    stop_requested: bool = False


class ChatRevision(NamedTuple):
    """A chat was changed."""

    session: UUID
    chat_id: UUID
    revision: int | None  # None if only the list of chats has changed


class Notification(NamedTuple):
    """A wake-up from PostgreSQL. It may be lost, and `is_lost` means: check everything."""

    changes: list[LogChange]
    chats: list[ChatRevision]
    signed_out: list[str]  # hashes of devices' tokens
    has_work: bool  # an answer may be claimable
    is_lost: bool  # earlier notifications may be missing
