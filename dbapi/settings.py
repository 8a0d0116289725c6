"""The settings of this service: name, type, default. Their order is that of .env.example."""

from dataclasses import dataclass

from kit.settings import ENVIRONMENTS, choice, positive, secret


@dataclass(frozen=True, kw_only=True)
class Settings:
    dbapi_database_url: str  # of the runtime login, never of the owner
    dbapi_keys: tuple[str, ...] = secret()  # service credentials; callers use the first, all are accepted
    dbapi_host: str = "127.0.0.1"
    dbapi_port: int = 8001
    dbapi_pool_size: int = positive(10)  # connections to PostgreSQL, without the listening one
    # Limits; 0 means no limit
    message_code_points: int = 32_000
    writes_per_session: int = 60  # a minute
    answers_per_session: int = 16  # running or queued
    answers_per_address: int = 64  # running or queued, of all sessions of a client address
    session_days: int = positive(400)  # as in web: a session that was not used for longer is removed
    temporary_chat_hours: int = positive(24)  # as in web: after its last use
    environment: str = choice(*ENVIRONMENTS)  # or development: shows /docs and /openapi.json
