"""The settings of this service: name, type, default. The order is that of .env.example; 0 switches a limit off."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from kit.settings import SettingsError, secret

SYSTEM_PROMPT = "You are a helpful assistant. Answer clearly and to the point. Use Markdown where it helps."
OPENING_MESSAGE = "Hello! What can I do for you?"


@dataclass(frozen=True, kw_only=True)
class Settings:
    public_url: str  # as typed into a browser; decides allowed hosts, origins, cookie name and flags
    secret_keys: tuple[str, ...] = secret()  # sign cookies; the newest first
    dbapi_url: str = "http://127.0.0.1:8001"
    dbapi_keys: tuple[str, ...] = secret()  # the first is used
    llama_url: str = "http://127.0.0.1:8002"  # any OpenAI-compatible server, with or without /v1
    llama_api_key: str = ""
    llama_slots: int = 4  # answers at once, where the model server doesn't tell
    web_host: str = "127.0.0.1"
    web_port: int = 8000
    environment: str = "production"
    # What a chat begins with
    system_prompt: str = SYSTEM_PROMPT
    opening_message: str = OPENING_MESSAGE
    # What the model is asked for
    model: str = ""  # its name, where the server has several
    max_tokens: int = 512
    # Limits
    message_code_points: int = 32_000
    body_bytes: int = 400_000
    answer_bytes: int = 256_000
    streams_per_session: int = 40  # open at the same time in each web process; nginx counts those of a device over all of them
    first_token_seconds: float = 120.0
    token_seconds: float = 30.0  # between two tokens
    unreachable_seconds: float = 30.0  # a model server that is restarted is back by then
    # How an answer is kept
    lease_seconds: float = 3.0
    renew_seconds: float = 1.0
    flush_seconds: float = 0.038
    ping_seconds: int = 15
    session_days: int = 400

    def __post_init__(self) -> None:
        if urlsplit(self.public_url).scheme not in ("http", "https") or not self.hostname:
            raise SettingsError(f"PUBLIC_URL is {self.public_url!r}, but has to be an address like https://chat.example.org")
        if set(self.secret_keys) & set(self.dbapi_keys):
            raise SettingsError("SECRET_KEYS and DBAPI_KEYS must not share a key: each has one purpose")
        if self.llama_api_key in (*self.secret_keys, *self.dbapi_keys):
            raise SettingsError("LLAMA_API_KEY is one of SECRET_KEYS or DBAPI_KEYS: each key has one purpose")

    @property
    def secure(self) -> bool:
        return self.origin.startswith("https://")

    @property
    def origin(self) -> str:
        url = urlsplit(self.public_url)
        return f"{url.scheme}://{url.netloc}"

    @property
    def hostname(self) -> str:
        return urlsplit(self.public_url).hostname or ""
