"""Whatever happens to an answer, a viewer sees a prefix of it, or receives a reset.

Two processes show the same answer from one log. Chunks, takeovers, lost chunks, and lost, late and repeated
notifications come in any order, while viewers join, become slow, leave and return to either process.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.live_simulation import play

NAMES = ["append"] * 8 + ["join"] * 3 + ["wait"] * 3 + ["read all"] * 3 + ["take over"] * 2
NAMES += ["reason", "restart", "lose chunks", "notify", "leave", "slow"]
OPERATIONS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 11)), max_size=40)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(OPERATIONS, st.booleans())
def test_a_viewer_sees_a_prefix_of_the_answer_or_is_reset(operations: list[tuple[str, int]], is_code: bool) -> None:
    asyncio.run(play(operations, is_code))


READ = [("read all", 4), ("read all", 9), ("wait", 4)]
TWO_CHUNKS = [("append", 0), *READ, ("append", 6), *READ, ("wait", 4)]


@pytest.mark.parametrize(
    "operations",
    [
        [("join", 1), *TWO_CHUNKS, ("take over", 1), ("append", 6), ("append", 7), *READ],
        [("join", 0), *TWO_CHUNKS, ("take over", 1), ("append", 6), ("append", 7), *READ],
        [("join", 1), *TWO_CHUNKS, ("lose chunks", 3), *READ, ("take over", 1), ("append", 2), *READ],
        [
            ("join", 0),
            *TWO_CHUNKS,
            ("leave", 0),
            ("lose chunks", 0),
            ("take over", 1),
            ("append", 2),
            ("join", 3),
            *READ,
        ],
        [("join", 0), *TWO_CHUNKS, ("lose chunks", 0), ("take over", 0), ("append", 0)],
    ],
    ids=[
        "to this process",
        "to another process",
        "after a crash",
        "while a viewer is away",
        "and ends at the same seq",
    ],
)
@pytest.mark.parametrize("is_code", [False, True], ids=["text", "code"])
def test_a_takeover_shows_no_text_twice(operations: list[tuple[str, int]], is_code: bool) -> None:
    asyncio.run(play(operations, is_code))
