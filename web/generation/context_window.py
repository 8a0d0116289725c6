"""What of a long chat the model is given, when not all of it fits.

The oldest turns are left out, many at once: so the beginning of the prompt stays the same for many turns, and the model
server need not read it again each time. The cut depends on the messages alone, so every process makes the same one.
"""

from collections.abc import Sequence
from typing import Any

BYTES_PER_TOKEN = 3.0  # fewer than most texts have, so that the estimate is rather too high
TOKENS_PER_MESSAGE = 8  # what the chat template puts around each
SPARE_TOKENS = 64


def estimate(text: str, scale: float = 1.0) -> float:
    """Tokens of a message, more or less."""
    return scale * (len(text.encode()) / BYTES_PER_TOKEN + TOKENS_PER_MESSAGE)


def first_remembered(messages: Sequence[dict[str, Any]], system_prompt: str, context: int | None, answer: int, scale: float = 1.0) -> int:
    """Index of the oldest message that the model is given. `context` is its size in tokens, `answer` what an answer may take of it."""
    if not context:
        return 0
    room = context - answer - SPARE_TOKENS - estimate(system_prompt, scale)
    start, used = 0, 0.0
    for index, message in enumerate(messages):
        used += estimate(message["content"], scale)
        if used > room:
            while start < index and (used > room / 2 or messages[start]["role"] != "user"):
                used -= estimate(messages[start]["content"], scale)
                start += 1
    return start
