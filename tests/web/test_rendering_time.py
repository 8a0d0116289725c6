"""Rendering takes linear time, and little of it, whatever a model or a person writes.

RENDERING_KILOBYTES=256 tries larger texts, RENDERING_EXAMPLES=1000 more mixtures.
"""

import os
import re
import time
from collections.abc import Callable
from importlib import import_module
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.hostile_texts import GENERATORS, MARKS
from web.rendering import blocks, positions
from web.rendering.markdown import render
from web.rendering.markdown.deadline import MAX_SECONDS, Overtime, deadline
from web.rendering.markdown.mend import mend
from web.rendering.markdown.rendering import plain

KILOBYTES = int(os.environ.get("RENDERING_KILOBYTES", "32"))
EXAMPLES = int(os.environ.get("RENDERING_EXAMPLES", "10"))
PREFIX = "message-1-"
deadline_module = import_module("web.rendering.markdown.deadline")
ATTEMPTS = 3
NOISE_SECONDS = 0.3  # below it, the growth of a measured time says nothing
MAX_GROWTH = 3  # of the time when the text doubles
STEPS = 2


def stream(text: str) -> None:
    """A viewer sees the text in steps."""
    at = positions.START
    for step in range(1, STEPS + 1):
        prefix = text[: len(text) * step // STEPS]
        now = positions.position(prefix, at)
        blocks.step(prefix, at, now, PREFIX)
        at = now
    blocks.end(text, at, PREFIX)


def seconds(function: Callable[[str], object], text: str) -> float:
    started_at = time.process_time()
    function(text)
    return time.process_time() - started_at


# CPU seconds for 128 KB, about twice what a quiet machine needs. A stream consists of several renderings.
BOUNDS: dict[Callable[[str], object], float] = {render: 1.0, mend: 0.5, stream: 3.0}


def is_linear(function: Callable[[str], object], half: str, whole: str) -> bool:
    first, second = seconds(function, half), seconds(function, whole)
    return second <= min(BOUNDS[function] * KILOBYTES / 64, MAX_GROWTH * max(first, NOISE_SECONDS))


def check(make: Callable[[int], str]) -> None:
    """The deadline would hide a text that takes too long, so it is not in force."""
    half, whole = make(KILOBYTES * 1024), make(2 * KILOBYTES * 1024)
    with patch.object(deadline_module, "MAX_SECONDS", 60.0):
        for function in BOUNDS:
            # Other load on the machine may slow a single measurement, but not all of them.
            assert any(is_linear(function, half, whole) for _ in range(ATTEMPTS)), function.__name__


@pytest.mark.parametrize("name", GENERATORS)
def test_rendering_takes_linear_time(name: str) -> None:
    check(GENERATORS[name])


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*MARKS.values(), "a", " ", "\n", "\n\n"]), min_size=1, max_size=6).map("".join))
def test_repeating_any_mixture_takes_linear_time(piece: str) -> None:
    check(lambda size: (piece * (size // len(piece) + 1))[:size])


def stream_lines(text: str) -> None:
    """A viewer sees the code line by line."""
    at, end = positions.START, 0
    while end := text.find("\n", end) + 1:
        now = positions.position(text[:end], at)
        blocks.step(text[:end], at, now)
        at = now


@pytest.mark.parametrize(
    ("opening", "line"),
    [
        ("```py\n'''\n", "a\n"),
        ("```js\n`\n", "\\`\n"),
        ("```c\n/*\n", "*\n"),
        ('```html\n<a b="\n', "c\n"),
        ("```py\n'", "\\\n"),
        ("```py\n", "1\n"),
    ],
)
def test_streaming_code_by_lines_takes_linear_time(opening: str, line: str) -> None:
    """The whole text is nearly as long as code with colours may be."""
    half, whole = (opening + line * (characters // len(line)) for characters in (9_900, 19_800))

    assert any(seconds(stream_lines, whole) <= 3 * max(seconds(stream_lines, half), 0.2) for _ in range(ATTEMPTS))
    assert positions.position(whole).lexer


def test_a_text_that_takes_too_long_is_given_up_and_remembered() -> None:
    """The work stands for a fault that nobody has found yet: it takes years."""
    text = "too long " * 1000

    def work(text: str) -> None:
        with pytest.raises(Overtime), deadline(text):
            re.search("(a+)+b", "a" * 50)

    first, second = seconds(work, text), seconds(work, text)

    assert first < 10 * MAX_SECONDS
    assert second < MAX_SECONDS
    assert render(text) == plain(text)
    assert blocks.snapshot(text).tail == plain(text)


def test_a_deadline_that_was_met_has_no_effect_later() -> None:
    with deadline("met " * 1000):
        pass
    started_at = time.process_time()
    while time.process_time() < started_at + 2 * MAX_SECONDS:
        pass
