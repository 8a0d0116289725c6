"""What the stand-in can be told: `Settings` for everything, a `Script` for one answer, and the tokens that come of it."""

import dataclasses
import random
import re

MODEL = "fake-llama"
WORDS = ["river", "stone", "naïve", "lantern", "über", "quiet", "thread", "東京", "meadow", "signal", "🙂", "copper", "maple", "ember"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `/__control` can change at any time, for what comes after."""

    slots: int = 4
    replay: bool = True  # False: any OpenAI-compatible server, without /health, /props, /v1/stream and prefill
    delay_ms: float = 5  # per token
    first_delay_ms: float = 0  # reading the prompt
    loading_seconds: float = 0  # 503 from now on for so long
    down: bool = False  # every connection is reset; what ran or could be replayed is gone, as after a restart
    api_key: str = ""
    models: tuple[str, ...] = (MODEL,)
    n_ctx: int = 32768  # tokens of one slot
    ring_bytes: int = 4 << 20  # what can be replayed of one stream
    ping_seconds: float = 30  # of silence, then a comment
    deaf_in_prompt: bool = True  # as llama.cpp: a stop before the first token frees the slot only there


@dataclasses.dataclass(frozen=True)
class Script:
    """A fault strikes before token n of the whole answer, but not again in a continuation that starts there."""

    text: str = ""
    tokens: list[str] = dataclasses.field(default_factory=list)  # instead of text, cut just so; lone surrogates are welcome
    reasoning: str = ""  # streamed first, its tokens count
    repeat: int = 1
    delay_ms: float | None = None
    first_delay_ms: float | None = None
    rate: float = 0  # tokens a second, instead of delay_ms
    finish_reason: str = ""
    raw: str = ""  # base64 of bytes written after the tokens; then nothing more, unless finish_reason is given
    status: int = 0  # an HTTP error instead of an answer
    body: str = "json"  # of that error: json, html, empty
    hang_after: int | None = None  # silent for ever; at -1 without headers
    rst_after: int | None = None  # the listeners' connections are reset; the answer goes on if it can be replayed
    error_after: int | None = None  # an error event, no [DONE]
    times: int | None = None  # faults strike only the first so many requests of this script


def prose(asked: str) -> str:
    pick = random.Random(asked)

    def sentence(words: int) -> str:
        return " ".join(pick.choices(WORDS, k=words)).capitalize() + "."

    topic = " ".join(re.findall(r"\w+", asked)[:6])
    items = "".join(f"- **{pick.choice(WORDS)}**: {sentence(6)}\n" for _ in range(3))
    rows = "".join(f"| {pick.choice(WORDS)} | {pick.randrange(1000)} |\n" for _ in range(3))
    code = f'def scale(x):\n    return x * {pick.randrange(100)}  # <b> & "quotes"'
    table = f"| name | count |\n| --- | ---: |\n{rows}"
    return f"## About {topic}\n\n{sentence(14)} {sentence(9)}\n\n{items}\n{table}\n```python\n{code}\n```\n\n{sentence(12)}"


def cut(text: str) -> list[str]:
    return re.findall(r" ?\w{1,5}|.", text, re.DOTALL)


def after(prefix: str, script: Script) -> tuple[int, list[tuple[bytes, str]]]:
    """Where to go on after a prefix, and all tokens of the answer; a prefix that ends within a token leaves its rest."""
    thoughts = cut(script.reasoning)
    tokens = (script.tokens or cut(script.text)) * script.repeat
    if not "".join(tokens).startswith(prefix):
        return 0, [(b"content", "[fake_llama: this answer does not begin so]")]
    at, left = 0, len(prefix)
    while left and left >= len(tokens[at]):
        left -= len(tokens[at])
        at += 1
    if left:
        tokens[at] = tokens[at][left:]
    pieces = [(b"reasoning_content", thought) for thought in thoughts] + [(b"content", token) for token in tokens]
    return len(thoughts) + at if prefix else 0, pieces


def paces(script: Script, settings: Settings) -> tuple[float, float]:
    """Seconds per token, and before the first."""
    delay_ms = settings.delay_ms if script.delay_ms is None else script.delay_ms
    first_delay_ms = settings.first_delay_ms if script.first_delay_ms is None else script.first_delay_ms
    return 1 / script.rate if script.rate else delay_ms / 1000, first_delay_ms / 1000
