"""What a search found."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from dbapi.schemas.fields import Output


class TextPart(Output):
    """Plain text, to be escaped like any other."""

    text: str
    is_match: bool


class FoundMessage(Output):
    message_id: UUID
    role: Literal["user", "assistant"]
    created_at: datetime
    snippet: Annotated[list[TextPart], Field(description="the text around the words, with … where it was cut")]
    is_running: Annotated[bool, Field(description="whether it is an answer that is queued or being written")]


class FoundChat(Output):
    chat_id: UUID
    title: Annotated[list[TextPart], Field(description="the whole title; empty if there is none")]
    updated_at: datetime
    hits: Annotated[list[FoundMessage], Field(description="the three best; empty if only the title matches")]


class SearchResults(Output):
    """Chats, the best first."""

    results: list[FoundChat]
    is_complete: Annotated[
        bool, Field(description="false if the search took too long; then only the newest messages were searched")
    ]
