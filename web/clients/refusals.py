"""What a model server means when it refuses a request: its status and its own words, as a ModelError.

Servers agree on little: the words are under `error`, `message` or `detail`, as text, objects or lists, or in a web
page. Their words are cleaned before anyone sees them: no addresses, paths or keys, and a bounded length.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape

import orjson

from web.errors import Busy, Loading, ModelError, Rejected, TooLong, Unreachable, Unsupported

MAX_WORDS = 500  # characters
MAX_RAW_WORDS = 4000
MAX_DEPTH, MAX_ITEMS = 5, 8

TOO_LONG = "This is longer than the model can read at once. Please shorten it, or start a new chat."
WRONG_KEY = "The model server refuses this server's key. The operator has to set LLAMA_API_KEY."
NO_CREDIT = "The model server's account has no credit left. The operator has to add some."
TOO_BUSY = "The model server is too busy. Please try again in a moment."
FAILED_READING = "The model server failed while it read the prompt. Please try again."
NOT_ACCEPTED = "The model server does not accept this request."
NOT_FOUND = f"{NOT_ACCEPTED} It does not know the model or the address. The operator has to check MODEL and LLAMA_URL."
MOVED = "The model server moved to another address. The operator has to set LLAMA_URL to that address."
WEB_PAGE = "A web page came instead of an answer. The operator has to check LLAMA_URL: it may lead to a sign-in page."
BROKE_OFF = "The model server broke off this answer."

_WORD_KEYS = ("message", "msg", "error", "errors", "detail", "details", "error_description", "description", "reason")
_CODE_KEYS = ("title", "type", "code", "status", "param", "loc", "metadata", "raw", "choices")
_TAGS = re.compile(r"<(script|style)\b.*?(</\1>|$)|<[^>]*(>|$)", re.DOTALL | re.IGNORECASE)
_PRIVATE = re.compile(
    r"""\b[a-z][a-z0-9+.-]*://\S+            # addresses
    | [\w.+-]+@[\w-]+\.[\w.-]+               # e-mail addresses
    | [\w.-]+:\d*/[^\s,;"']*                 # host:port/path, host:/path
    | (?<![\w/.])~?/(?:[\w.@-]+/)+[^\s,;"']* # paths
    | [a-z]:\\\S+
    | \b(?:[\w-]+\.)*[\w-]+:\d{2,5}\b        # host:port
    | \b\d{1,3}(?:\.\d{1,3}){3}\b | \[?(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}\]?
    | \b(?:[\w-]+\.)+(?:local|internal|lan|svc|cluster|corp)\b
    | \b(?:(?:sk|pk|key|org|proj|req)[-_]|Bearer |Basic )(?=[\w*.-]*[\d*])[\w*.+/=-]{6,}
    | \b(?=[\w-]*\d)[\w-]{28,}""",
    re.VERBOSE | re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|(?:max\w*|available|model'?s?) context|context (?:length|window|size)"
    r"|(?:prompt|input|request|conversation|messages?) (?:is|are) too (?:long|large)|too many (?:input )?tokens"
    r"|input token count|string_above_max_length|reduce the length|tokens? .{0,40}must have less than",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(r"insufficient_quota|insufficient (?:credit|balance|fund)|billing|out of credit", re.IGNORECASE)
_UNKNOWN = re.compile(
    r"un(?:supported|recognized|known|expected)|not (?:supported|permitted|allowed|recognized|a valid)|extra|additional"
    r"|does not (?:support|accept)|only the default|no such|invalid (?:parameter|argument|field)|cannot find field",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r"(?:context \w+|n_ctx)\D{0,30}?(\d{2,9})", re.IGNORECASE)
_TOKENS = re.compile(r"(\d{2,9})(?: \w+)? (?:in the messages|input tokens|tokens in)|resulted in (\d{2,9})|has (\d+)")


def server_words(body: bytes, key: str = "") -> str:
    """The server's own words, safe to show. `key` is what authenticates this service."""
    try:
        words = list(dict.fromkeys(_words(orjson.loads(body))))
        text = f"{words[0]} ({', '.join(words[1:])})" if len(words) > 1 else "".join(words)
    except ValueError:
        text = body[: 4 * MAX_RAW_WORDS].decode(errors="replace")
        text = unescape(_TAGS.sub(" ", text)) if "<" in text else text
    return cleaned(text.replace(key, "…") if key else text)


def cleaned(text: str) -> str:
    """One line without invisible characters, addresses, paths and keys."""
    text = "".join(character if character.isprintable() else " " for character in text[:MAX_RAW_WORDS])
    text = " ".join(_PRIVATE.sub("…", text).split())
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]}…"


def refusal(status: int, headers: Mapping[str, str], body: bytes, words: str) -> ModelError:
    """The meaning of a status other than success, for a request for an answer."""
    error = error_of(body)
    seconds = retry_after(headers.get("retry-after"))
    if too_long := _too_long(status, error, words):
        return too_long
    if status == 402 or (status in (400, 403, 429) and _NO_CREDIT.search(words)):
        return Rejected(NO_CREDIT, words)
    if status in (408, 425, 429, 529) or (status == 503 and seconds is not None):
        return Busy(seconds, words)
    if status == 503:
        return Loading(words)
    if status in (502, 504):
        return Unreachable(words)
    return Rejected(_sentence(status), words)


def unsupported(status: int, words: str, sent: Collection[str]) -> Unsupported | None:
    """The refusal of parameters: those of `sent` that the words name."""
    if status not in (400, 422, 501) or _TOO_LONG.search(words):
        return None
    names = frozenset(name for name in sent if re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", words))
    return Unsupported(names, words) if names else None


def is_unknown(words: str) -> bool:
    """Whether the server does not know a parameter at all, rather than its value."""
    return bool(_UNKNOWN.search(words))


def retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number, or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value)) if float(value) < 1e9 else None
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def error_of(body: bytes) -> dict[str, object]:
    """The object under `error`, or the whole object that says it is an error."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return {}
    value = value[0] if isinstance(value, list) and value else value
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else value if isinstance(value, dict) else {}


def is_error(body: object) -> bool:
    """Whether an event or a body says that something went wrong. An empty `error` says nothing."""
    if not isinstance(body, dict):
        return False
    error = body.get("error")
    if isinstance(error, dict):
        error = any(error.values())
    return bool(error) or body.get("object") == "error" or body.get("type") == "error"


def _sentence(status: int) -> str:
    if status in (401, 403, 407):
        return WRONG_KEY
    if 300 <= status < 400:
        return MOVED
    if status in (404, 405, 410):
        return NOT_FOUND
    return FAILED_READING if status >= 500 else NOT_ACCEPTED


def _too_long(status: int, error: Mapping[str, object], words: str) -> ModelError | None:
    if status not in (400, 413, 422, 500):
        return None
    tokens, context = error.get("n_prompt_tokens"), error.get("n_ctx")
    if isinstance(tokens, int) and isinstance(context, int):
        return TooLong(tokens, context, words)
    if status == 413:
        return Rejected(TOO_LONG, words)
    if not _TOO_LONG.search(words):
        return None
    found, used = _CONTEXT.search(words), _TOKENS.search(words)
    if found:
        return TooLong(int(next(filter(None, used.groups()), 0)) if used else 0, int(found[1]), words)
    return Rejected(TOO_LONG, words)


def _words(value: object, depth: int = MAX_DEPTH) -> Iterator[str]:
    """The texts in an error, the sentences before the codes."""
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list) and depth:
        for item in value[:MAX_ITEMS]:
            yield from _words(item, depth - 1)
    elif isinstance(value, dict) and depth:
        for name in (*_WORD_KEYS, *_CODE_KEYS):
            yield from _words(value.get(name), depth - 1)
