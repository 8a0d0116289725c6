"""`Settings` of the whole server, the `Script` of one answer, and the tokens that result from it."""

import dataclasses
import random
import re
from typing import Any

MODEL = "fake-llama"
WORDS = [
    "river",
    "stone",
    "naïve",
    "lantern",
    "über",
    "quiet",
    "thread",
    "東京",
    "meadow",
    "signal",
    "🙂",
    "copper",
    "maple",
    "ember",
]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that `/__control` changes at any time, for later requests."""

    slots: int = 4
    replay: bool = (
        True  # False: behave like other OpenAI-compatible servers, without /health, /props, /v1/stream and prefill
    )
    delay_ms: float = 5  # per token
    first_delay_ms: float = 0  # time to process the prompt
    loading_seconds: float = 0  # respond with 503 for this time from now on
    down: bool = False  # reset every connection and discard all streams, as a restart does
    api_key: str = ""
    models: tuple[str, ...] = (MODEL,)
    n_ctx: int = 32768  # context size of one slot, in tokens
    n_params: int = 0  # of the models; 0: unknown
    ring_bytes: int = 4 << 20  # replayable part of one stream
    ping_seconds: float = 30  # of silence before a comment is sent
    deaf_in_prompt: bool = True  # as llama.cpp: a stop before the first token takes effect only at that token


@dataclasses.dataclass(frozen=True)
class Script:
    """A fault occurs before token n of the whole answer, but not again in a continuation that starts there."""

    text: str = ""
    tokens: list[str] = dataclasses.field(default_factory=list)  # instead of text; may contain lone surrogates
    reasoning: str = ""  # streamed first; its tokens count
    repeat: int = 1
    delay_ms: float | None = None
    first_delay_ms: float | None = None
    rate: float = 0  # tokens per second, instead of delay_ms
    finish_reason: str = ""
    raw: str = ""  # base64 of bytes to write after the tokens; ends the answer unless finish_reason is given
    status: int = 0  # an HTTP error instead of an answer
    body: str = "json"  # body of that error: json, html, empty
    hang_after: int | None = None  # hang forever; -1: before the headers
    rst_after: int | None = None  # reset the connections; the answer continues if it can be replayed
    error_after: int | None = None  # send an error event and no [DONE]
    next: dict[str, Any] = dataclasses.field(default_factory=dict)  # script for a following message that is none itself
    times: int | None = None  # faults occur only in this many first requests of this script


def prose(message: str) -> str:
    pick = random.Random(message)

    def sentence(words: int) -> str:
        return " ".join(pick.choices(WORDS, k=words)).capitalize() + "."

    topic = " ".join(re.findall(r"\w+", message)[:6])
    items = "".join(f"- **{pick.choice(WORDS)}**: {sentence(6)}\n" for _ in range(3))
    rows = "".join(f"| {pick.choice(WORDS)} | {pick.randrange(1000)} |\n" for _ in range(3))
    code = f'def scale(x):\n    return x * {pick.randrange(100)}  # <b> & "quotes"'
    table = f"| name | count |\n| --- | ---: |\n{rows}"
    start = f"## About {topic}\n\n{sentence(14)} {sentence(9)}"
    return f"{start}\n\n{items}\n{table}\n```python\n{code}\n```\n\n{sentence(12)}"


def tokenize(text: str) -> list[str]:
    return re.findall(r" ?\w{1,5}|.", text, re.DOTALL)


def continuation(prefix: str, script: Script) -> tuple[int, list[tuple[bytes, str]]]:
    """Return all (field, token) pairs of the answer, and the index of the first one after the prefix.

    If the prefix ends within a token, that token is reduced to its rest.
    """
    reasoning = tokenize(script.reasoning)
    tokens = (script.tokens or tokenize(script.text)) * script.repeat
    if not "".join(tokens).startswith(prefix):
        return 0, [(b"content", "[fake_llama: the answer does not start with this prefix]")]
    at, left = 0, len(prefix)
    while left and left >= len(tokens[at]):
        left -= len(tokens[at])
        at += 1
    if left:
        tokens[at] = tokens[at][left:]
    pairs = [(b"reasoning_content", token) for token in reasoning] + [(b"content", token) for token in tokens]
    return len(reasoning) + at if prefix else 0, pairs


def delays(script: Script, settings: Settings) -> tuple[float, float]:
    """Return the seconds per token, and the seconds before the first token."""
    delay_ms = settings.delay_ms if script.delay_ms is None else script.delay_ms
    first_delay_ms = settings.first_delay_ms if script.first_delay_ms is None else script.first_delay_ms
    return 1 / script.rate if script.rate else delay_ms / 1000, first_delay_ms / 1000
