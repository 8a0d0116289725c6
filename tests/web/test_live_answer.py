"""A live answer: which snapshots and events its subscribers receive."""

import asyncio
import gc
import weakref
from typing import cast

import pytest

from tests.stack import until
from tests.web.dom import parse
from tests.web.visitor import parsed
from web.contract import CONTENT, Chunk, Message
from web.live.answer import LiveAnswer
from web.live.events import EventRenderer
from web.live.steps import MAX_STEP_SECONDS, Snapshot, Subscriber
from web.rendering import blocks
from web.rendering.templates import Templates

TOKEN = 1
TEMPLATES = Templates()


def record(status: str = "streaming", content: str = "") -> Message:
    message: object = {
        "id": "m",
        "generation_id": "g",
        "parent_id": None,
        "role": "assistant",
        "content": content,
        "reasoning": "",
        "status": status,
        "error": None,
        "model": None,
        "usage": None,
        "timings": None,
        "finish_reason": None,
        "siblings": [],
    }
    return cast(Message, message)


def running() -> LiveAnswer:
    answer = LiveAnswer(record(), EventRenderer(TEMPLATES, "c", record()), lambda: None)
    answer.set_loaded()
    return answer


def add(answer: LiveAnswer, word: str) -> None:
    answer.extend(Chunk(answer.last_seq + 1, TOKEN, CONTENT, word))


def log_of(*words: str) -> list[Chunk]:
    return [Chunk(seq, TOKEN, CONTENT, word) for seq, word in enumerate(words, 1)]


async def stepped(answer: LiveAnswer, text: str) -> None:
    await until(lambda: answer.snapshot.position.length >= len(text))


class Following:
    """A subscriber that writes up to `accepts` events."""

    def __init__(self, answer: LiveAnswer, accepts: int = 1000) -> None:
        self.answer, self.accepts = answer, accepts
        self.written: list[bytes] = []
        self.cursors: list[str] = []
        self.task = asyncio.create_task(answer.subscribe(answer.snapshot, self.write))

    def write(self, event: bytes) -> bool:
        if len(self.written) == self.accepts:
            return False
        self.written.append(event)
        self.cursors.append(self.answer.snapshot.cursor)
        return True

    async def last(self) -> Snapshot:
        return await asyncio.wait_for(self.task, 5)


async def follow(answer: LiveAnswer, accepts: int = 1000) -> Following:
    following = Following(answer, accepts)
    await asyncio.sleep(0)
    return following


async def test_an_answer_is_freed_without_the_garbage_collector() -> None:
    answer = running()
    freed = weakref.ref(answer)
    gc.disable()
    try:
        add(answer, "one")
        add(answer, " two")  # waits for the next step
        await asyncio.sleep(2 * MAX_STEP_SECONDS)
        assert answer.snapshot.seq == 2
        del answer
        assert freed() is None
    finally:
        gc.enable()


async def test_each_step_starts_where_the_last_one_ended() -> None:
    answer = running()
    following = await follow(answer)
    for text in ("a", "ab", "abc"):
        add(answer, text[-1])
        await stepped(answer, text)

    answer.finish(record("complete", "abc"))

    assert (await following.last()).seq == 3
    assert following.cursors == ["1.1", "2.1", "3.1"]
    assert [event.count(b"id: ") for event in following.written] == [1, 1, 1]


async def test_the_final_step_is_not_written_to_subscribers() -> None:
    answer = running()
    following = await follow(answer)
    answer.finish(record("complete", "whole"))

    seen = await following.last()

    assert following.written == []
    end = await answer.next_snapshot(seen)
    assert end
    assert end.status == "complete"


async def test_a_slow_subscriber_continues_from_the_last_event_it_accepted() -> None:
    answer = running()
    following = await follow(answer, accepts=1)
    for text in ("a", "ab"):
        add(answer, text[-1])
        await stepped(answer, text)

    seen = await following.last()

    assert (seen.seq, following.cursors) == (1, ["1.1"])
    missed = await answer.next_snapshot(seen)
    assert missed
    assert missed.seq == 2


async def test_a_step_made_before_the_subscription_is_not_skipped() -> None:
    answer = running()
    seen = answer.snapshot
    add(answer, "a")
    await stepped(answer, "a")

    assert await asyncio.wait_for(answer.subscribe(seen, lambda event: pytest.fail("too late")), 5) is seen


async def test_an_error_of_one_subscriber_does_not_reach_others() -> None:
    answer = running()
    others = await follow(answer)

    def fail(event: bytes) -> bool:
        raise ZeroDivisionError

    failing = asyncio.create_task(answer.subscribe(answer.snapshot, fail))
    await asyncio.sleep(0)
    add(answer, "a")
    await stepped(answer, "a")

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(failing, 5)
    assert others.cursors == ["1.1"]
    others.task.cancel()


async def test_no_subscriber_waits_when_the_process_shuts_down() -> None:
    answer = running()
    following = await follow(answer)
    answer.shut_down()

    assert await following.last() is answer.snapshot
    assert await answer.next_snapshot(answer.snapshot) is None


async def test_a_cancelled_subscriber_receives_nothing_more() -> None:
    answer = running()
    following = await follow(answer)
    following.task.cancel()
    add(answer, "a")
    await stepped(answer, "a")

    assert following.written == []


async def test_a_silent_answer_keeps_no_subscriber_that_has_left() -> None:
    answer = running()
    for _ in range(3):
        following = await follow(answer)
        assert len(answer._subscribers) == 1
        following.task.cancel()
        await asyncio.gather(following.task, return_exceptions=True)

    assert answer._subscribers == set()


async def test_a_step_wakes_all_that_wait_for_it() -> None:
    answer = running()
    waiting = [asyncio.create_task(answer.next_snapshot(answer.snapshot)) for _ in range(3)]
    await asyncio.sleep(0)
    add(answer, "a")

    snapshots = await asyncio.wait_for(asyncio.gather(*waiting), 5)

    assert [snapshot and snapshot.seq for snapshot in snapshots] == [1, 1, 1]


async def test_subscribers_of_one_snapshot_share_the_rendered_event() -> None:
    answer = running()
    first, second = await follow(answer), await follow(answer)
    add(answer, "a")
    await stepped(answer, "a")

    assert first.written[0] is second.written[0]
    first.task.cancel()
    second.task.cancel()


async def test_rebuilding_the_text_is_one_step() -> None:
    answer = running()
    add(answer, "Sente")
    await stepped(answer, "Sente")
    following = await follow(answer)
    await asyncio.sleep(0.1)  # so that the next step is made at once

    rewritten = [*log_of("Sente"), Chunk(2, TOKEN + 1, CONTENT, "nce"), Chunk(3, TOKEN + 1, CONTENT, " 0")]
    answer.replace(rewritten, TOKEN + 1)

    assert following.cursors == ["3.2"]
    following.task.cancel()


async def test_a_text_that_lost_its_end_is_reset_at_once() -> None:
    answer = running()
    for word in ("One", " two"):
        add(answer, word)
    await stepped(answer, "One two")
    epoch = answer.snapshot.epoch

    answer.replace(log_of("One"), TOKEN)

    assert (answer.snapshot.seq, answer.snapshot.position.length, answer.snapshot.epoch) == (1, 3, epoch + 1)


async def test_a_snapshot_behind_the_seen_one_is_not_delivered() -> None:
    answer = running()
    for word in ("One", " two"):
        add(answer, word)
    await stepped(answer, "One")
    ahead = answer.at(2, TOKEN)
    assert ahead
    written: list[bytes] = []

    def write(event: bytes) -> bool:
        written.append(event)
        return True

    subscriber = Subscriber(ahead, write)

    subscriber.deliver(ahead._replace(seq=1), lambda seen: b"backwards")
    assert written == []

    subscriber.deliver(ahead._replace(seq=3), lambda seen: b"forwards")
    assert written == [b"forwards"]


async def test_a_viewer_from_an_older_version_receives_the_colours_of_growing_code() -> None:
    """That version showed code without colours while it grew."""
    answer = running()
    for token in ("```py\n", "if x:\n    retu", "rn 1\n    "):
        add(answer, token)
        await stepped(answer, answer.text)
    page = parse("""<article id="message-m"><footer id="message-m-footer"></footer><div id="message-m-thought"></div>
        <div class="tail" id="message-m-tail"><pre><code>if x:\n    retu</code></pre></div></article>""")

    event = parsed(answer.event(answer.at(2, TOKEN)).decode().strip())

    assert event
    page.swap(event.data)
    assert page.select("#message-m-tail").inner == parse(blocks.snapshot(answer.text).tail).inner
    assert "tok-k" in event.data


async def test_a_replaced_text_keeps_no_cursors() -> None:
    answer = running()
    add(answer, "One")
    answer.finish(record("complete", "Another"))

    assert answer.at(1, TOKEN) is None
