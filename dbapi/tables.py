"""The tables as SQLAlchemy classes. Policies and functions are in alembic/schema.sql."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = func.clock_timestamp()
NEW_ID = func.gen_random_uuid()
TITLE_FROM = "title_from IN ('words', 'requested', 'model', 'user')"
STATUS = "status IN ('queued', 'streaming', 'complete', 'stopped', 'failed')"


class Base(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = {str: Text, datetime: TIMESTAMP(timezone=True), dict[str, Any]: JSONB, bytes: BYTEA}  # noqa: RUF012


class Session(Base):
    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    writes: Mapped[int] = mapped_column(server_default="0")
    writes_since: Mapped[datetime] = mapped_column(server_default="-infinity")
    chat_defaults: Mapped[dict[str, Any] | None]  # model, system_prompt and parameters of new chats


class Device(Base):
    """One browser's cookie, stored as the SHA-256 of its token."""

    __tablename__ = "devices"

    token_hash: Mapped[bytes] = mapped_column(CheckConstraint("octet_length(token_hash) = 32"), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    revoked_at: Mapped[datetime | None]
    id: Mapped[UUID] = mapped_column(server_default=NEW_ID)
    name: Mapped[str] = mapped_column(CheckConstraint("char_length(name) <= 100"), server_default="")

    __table_args__ = (UniqueConstraint("session_id", "id", name="devices_of_session"),)


class Link(Base):
    """Adds one more device to a session, once."""

    __tablename__ = "links"

    token_hash: Mapped[bytes] = mapped_column(CheckConstraint("octet_length(token_hash) = 32"), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("session_id", name="links_of_session"),)


class Preset(Base):
    """Named settings that any chat of the session can take over."""

    __tablename__ = "presets"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(CheckConstraint("char_length(name) BETWEEN 1 AND 100"))
    model: Mapped[str | None]
    system_prompt: Mapped[str] = mapped_column(server_default="")
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (UniqueConstraint("session_id", "name", name="presets_of_session"),)


class Chat(Base):
    __tablename__ = "chats"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    username: Mapped[str]
    title: Mapped[str | None]
    title_from: Mapped[str | None] = mapped_column(CheckConstraint(TITLE_FROM))
    model: Mapped[str | None]
    system_prompt: Mapped[str] = mapped_column(server_default="")
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    tip_id: Mapped[UUID | None]
    is_temporary: Mapped[bool] = mapped_column(server_default="false")
    left_at: Mapped[datetime | None]  # of a temporary chat: when its page was left
    left_by: Mapped[int | None]  # the number of that page
    pinned_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())  # the end of the newest answer that was seen
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    revision: Mapped[int] = mapped_column(server_default="0", server_onupdate=FetchedValue())  # a trigger counts

    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 (an update also reads the new revision)
    __table_args__ = (
        UniqueConstraint("session_id", "id", name="chats_of_session"),
        ForeignKeyConstraint(
            ["session_id", "id", "tip_id"],
            ["messages.session_id", "messages.chat_id", "messages.id"],
            name="chats_tip",
            ondelete="SET NULL (tip_id)",
            use_alter=True,
        ),
        Index("chats_latest", "session_id", text("updated_at DESC")),
        Index(
            "chats_pinned",
            "session_id",
            text("updated_at DESC"),
            postgresql_where=text("pinned_at IS NOT NULL"),
        ),
        Index(
            "chats_archived",
            "session_id",
            text("updated_at DESC"),
            postgresql_where=text("archived_at IS NOT NULL"),
        ),
    )

    @property
    def pinned(self) -> bool:
        return self.pinned_at is not None

    @property
    def archived(self) -> bool:
        return self.archived_at is not None


class Message(Base):
    """A node of a chat's tree; `parent_id` is the message it follows."""

    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    session_id: Mapped[UUID]
    chat_id: Mapped[UUID]
    parent_id: Mapped[UUID | None]
    role: Mapped[str]
    content: Mapped[str] = mapped_column(server_default="")
    reasoning: Mapped[str] = mapped_column(server_default="")
    status: Mapped[str] = mapped_column(CheckConstraint(STATUS), server_default="complete")
    error: Mapped[str | None]
    model: Mapped[str | None]
    usage: Mapped[dict[str, Any] | None]
    timings: Mapped[dict[str, Any] | None]
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    turn_key: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)

    __table_args__ = (
        UniqueConstraint("session_id", "chat_id", "id", name="messages_of_chat"),
        UniqueConstraint("session_id", "chat_id", "turn_key", name="messages_turn"),
        ForeignKeyConstraint(
            ["session_id", "chat_id"], ["chats.session_id", "chats.id"], name="messages_chat", ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["session_id", "chat_id", "parent_id"],
            ["messages.session_id", "messages.chat_id", "messages.id"],
            name="messages_parent",
            ondelete="CASCADE",
        ),
        Index("messages_by_parent", "parent_id", "chat_id", "session_id"),
    )


class MessageWords(Base):
    """What a search finds a message by. Only PostgreSQL's functions read and change it; see alembic/schema.sql."""

    __tablename__ = "message_words"

    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID]
    chat_id: Mapped[UUID]
    position: Mapped[int] = mapped_column(BigInteger)
    words: Mapped[str] = mapped_column(TSVECTOR)

    __table_args__ = (
        ForeignKeyConstraint(
            ["session_id", "chat_id", "message_id"],
            ["messages.session_id", "messages.chat_id", "messages.id"],
            name="message_words_message",
            ondelete="CASCADE",
        ),
        Index(
            "message_words_found",
            text("words_in_session(session_id, words)"),
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "256"},
        ),
        Index("message_words_newest", "session_id", "position"),
    )


class MessageWordsProgress(Base):
    """How far the words of older messages are stored."""

    __tablename__ = "message_words_progress"

    one_row: Mapped[bool] = mapped_column(CheckConstraint("one_row"), primary_key=True, server_default="true")
    up_to: Mapped[UUID] = mapped_column(server_default="00000000-0000-0000-0000-000000000000")


class Generation(Base):
    """The writing of one assistant message. Only a stop and the log's functions change it; see alembic/schema.sql."""

    __tablename__ = "generations"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_ID)
    session_id: Mapped[UUID]
    chat_id: Mapped[UUID]
    message_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(CheckConstraint(STATUS), server_default="queued")
    fence: Mapped[int] = mapped_column(server_default="0")
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    last_seq: Mapped[int] = mapped_column(server_default="0")
    upstream_key: Mapped[str | None]
    upstream_offset: Mapped[int] = mapped_column(BigInteger, server_default="0")
    stop_requested: Mapped[bool] = mapped_column(server_default="false")
    attempts: Mapped[int] = mapped_column(server_default="0")
    claim_seq: Mapped[int] = mapped_column(server_default="0")
    request: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    address: Mapped[bytes | None]
    pool: Mapped[str] = mapped_column(server_default="")
    finish_reason: Mapped[str | None]
    queued_at: Mapped[datetime] = mapped_column(server_default=NOW)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("message_id", name="generations_of_message"),
        ForeignKeyConstraint(
            ["session_id", "chat_id", "message_id"],
            ["messages.session_id", "messages.chat_id", "messages.id"],
            name="generations_message",
            ondelete="CASCADE",
        ),
        Index("generations_one_per_chat", "chat_id", unique=True, postgresql_where=text("status = 'streaming'")),
        Index("generations_waiting", "queued_at", postgresql_where=text("status IN ('queued', 'streaming')")),
        Index("generations_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )


class GenerationChunk(Base):
    __tablename__ = "generation_chunks"

    generation_id: Mapped[UUID] = mapped_column(ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True)
    session_id: Mapped[UUID]
    seq: Mapped[int] = mapped_column(primary_key=True)
    fence: Mapped[int]
    kind: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    text: Mapped[str]
