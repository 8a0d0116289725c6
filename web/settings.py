"""The settings of the web service: name, type, default, in the order of .env.example. 0 disables a limit."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from kit import public_url
from kit.settings import ENVIRONMENTS, SettingsError, choice, positive, secret

SYSTEM_PROMPT = "You are a helpful assistant. Answer clearly and to the point. Use Markdown where it helps."
OPENING_MESSAGE = "Hello! What can I do for you?"
STARTERS = "Explain how a rainbow forms|Plan dinners for a week|Write a polite reminder email"


@dataclass(frozen=True, kw_only=True)
class Settings:
    public_url: str  # as people type it into a browser; determines allowed hosts, origins, cookie name and flags
    secret_keys: tuple[str, ...] = secret()  # sign cookies; newest first
    dbapi_url: str = "http://127.0.0.1:8001"
    dbapi_keys: tuple[str, ...] = secret()  # web uses the first
    llama_url: str = "http://127.0.0.1:8081"  # any OpenAI-compatible server, with or without /v1
    llama_api_key: str = ""
    llama_slots: int = positive(4)  # answers generated at once, if the model server does not report its slots
    web_host: str = "127.0.0.1"
    web_port: int = 8000
    environment: str = choice(*ENVIRONMENTS)
    # New chats
    system_prompt: str = SYSTEM_PROMPT
    opening_message: str = OPENING_MESSAGE
    starters: str = STARTERS  # first messages that an empty chat offers, separated by |
    temporary_chat_hours: int = positive(24)  # a temporary chat that was not used for longer is deleted
    # Requests to the model server
    models_file: str = ""  # several model servers, in TOML; replaces LLAMA_URL and LLAMA_API_KEY
    model: str = ""  # the default model, if the server has several
    max_tokens: int = 0  # of an answer, unless the chat's settings say otherwise; 0: what the model's context leaves
    max_tokens_limit: int = 0  # of an answer, whatever the chat's settings say
    titles: str = choice("auto", "on", "off")  # on: the model writes the titles of chats; auto: unless it is tiny
    # Limits
    message_code_points: int = 32_000
    body_bytes: int = 400_000
    answer_bytes: int = 256_000
    streams_per_session: int = 40  # open at once in each web process; nginx limits them per device over all processes
    first_token_seconds: float = positive(120.0)
    token_seconds: float = positive(30.0)  # between two tokens
    unreachable_seconds: float = 30.0  # long enough for a restart of the model server
    # Storing answers
    lease_seconds: float = positive(3.0)
    renew_seconds: float = positive(1.0)
    flush_seconds: float = 0.038
    ping_seconds: int = positive(15)
    session_days: int = positive(400)

    def __post_init__(self) -> None:
        public_url.check(self.public_url)
        if self.renew_seconds >= self.lease_seconds:
            raise SettingsError("RENEW_SECONDS must be smaller than LEASE_SECONDS")
        if set(self.secret_keys) & set(self.dbapi_keys):
            raise SettingsError("SECRET_KEYS and DBAPI_KEYS must not share a key: use a separate key for each")
        if self.renew_seconds > self.lease_seconds / 2:
            raise SettingsError("RENEW_SECONDS must be at most half of LEASE_SECONDS")
        if self.llama_api_key in (*self.secret_keys, *self.dbapi_keys):
            raise SettingsError("LLAMA_API_KEY is also in SECRET_KEYS or DBAPI_KEYS: use a separate key for each")

    def answer_tokens(self, wanted: int | None) -> int:
        """How many tokens an answer may have; 0 is no limit. `wanted` is what the chat asks for, or None."""
        tokens = wanted if wanted and wanted > 0 else self.max_tokens
        is_too_many = self.max_tokens_limit and not 0 < tokens <= self.max_tokens_limit  # llama.cpp: -1 is no limit
        return self.max_tokens_limit if is_too_many else tokens

    @property
    def starter_list(self) -> list[str]:
        return [starter.strip() for starter in self.starters.split("|") if starter.strip()]

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
