"""Who follows an answer's steps is called by whoever makes them."""

import asyncio

import pytest

from tests.stack import until
from web.generation.log_writer import CONTENT
from web.live.answer import Frame, Live

FENCE = 1


def running() -> Live:
    live = Live("g", {"id": "m", "status": "streaming"})
    live.set_loaded()
    return live


def say(live: Live, word: str) -> None:
    live.extend(live.last_seq + 1, FENCE, CONTENT, word)


async def stepped(live: Live, text: str) -> None:
    await until(lambda: live.frame.place.length >= len(text))


class Follower:
    def __init__(self, live: Live, takes: int = 1000) -> None:
        self.live, self.takes = live, takes
        self.steps: list[tuple[int, int]] = []
        self.task = asyncio.create_task(live.follow(live.frame, self.take))

    def take(self, seen: Frame, frame: Frame) -> bool:
        if len(self.steps) == self.takes:
            return False
        self.steps.append((seen.seq, frame.seq))
        return True

    async def last(self) -> Frame:
        return await asyncio.wait_for(self.task, 5)


async def followed(live: Live, takes: int = 1000) -> Follower:
    follower = Follower(live, takes)
    await asyncio.sleep(0)
    return follower


async def test_each_step_begins_where_the_last_one_ended() -> None:
    live = running()
    follower = await followed(live)
    for text in ("a", "ab", "abc"):
        say(live, text[-1])
        await stepped(live, text)

    live.finish({"id": "m", "status": "complete", "content": "abc", "reasoning": ""})

    assert (await follower.last()).seq == 3
    assert follower.steps == [(0, 1), (1, 2), (2, 3)]


async def test_the_last_frame_is_left_to_who_sends_the_end() -> None:
    live = running()
    follower = await followed(live)
    live.finish({"id": "m", "status": "complete", "content": "whole", "reasoning": ""})

    seen = await follower.last()

    assert follower.steps == []
    end = await live.next_frame(seen)
    assert end
    assert end.status == "complete"


async def test_who_takes_no_more_goes_on_from_what_was_taken() -> None:
    live = running()
    follower = await followed(live, takes=1)
    for text in ("a", "ab"):
        say(live, text[-1])
        await stepped(live, text)

    seen = await follower.last()

    assert (seen.seq, follower.steps) == (1, [(0, 1)])
    missed = await live.next_frame(seen)
    assert missed
    assert missed.seq == 2


async def test_a_step_that_was_made_meanwhile_is_not_passed_over() -> None:
    live = running()
    seen = live.frame
    say(live, "a")
    await stepped(live, "a")

    assert await asyncio.wait_for(live.follow(seen, lambda *_: pytest.fail("too late")), 5) is seen


async def test_an_error_is_the_follower_s_own() -> None:
    live = running()
    others = await followed(live)

    def break_down(seen: Frame, frame: Frame) -> bool:
        raise ZeroDivisionError

    broken = asyncio.create_task(live.follow(live.frame, break_down))
    await asyncio.sleep(0)
    say(live, "a")
    await stepped(live, "a")

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(broken, 5)
    assert others.steps == [(0, 1)]
    others.task.cancel()


async def test_when_the_process_leaves_nobody_waits() -> None:
    live = running()
    follower = await followed(live)
    live.leave()

    assert await follower.last() is live.frame
    assert await live.next_frame(live.frame) is None


async def test_who_was_cancelled_is_called_no_more() -> None:
    live = running()
    follower = await followed(live)
    follower.task.cancel()
    say(live, "a")
    await stepped(live, "a")

    assert follower.steps == []


async def test_a_silent_answer_remembers_nobody_who_has_left() -> None:
    live = running()
    for _ in range(3):
        following = await followed(live)
        assert len(live._followers) == 1
        following.task.cancel()
        await asyncio.gather(following.task, return_exceptions=True)

    assert live._followers == set()


async def test_all_who_wait_for_a_step_are_woken_by_it() -> None:
    live = running()
    waiting = [asyncio.create_task(live.next_frame(live.frame)) for _ in range(3)]
    await asyncio.sleep(0)
    say(live, "a")

    frames = await asyncio.wait_for(asyncio.gather(*waiting), 5)

    assert [frame and frame.seq for frame in frames] == [1, 1, 1]


def log_of(*words: str, fence: int = FENCE) -> list[tuple[int, int, int, str]]:
    return [(seq, fence, CONTENT, word) for seq, word in enumerate(words, 1)]


async def test_a_text_that_is_rebuilt_is_one_step() -> None:
    live = running()
    say(live, "Sente")
    await stepped(live, "Sente")
    follower = await followed(live)
    await asyncio.sleep(0.1)  # so that the next step is made at once

    live.replace([*log_of("Sente"), (2, FENCE + 1, CONTENT, "nce"), (3, FENCE + 1, CONTENT, " 0")])

    assert follower.steps == [(1, 3)]
    follower.task.cancel()


async def test_a_text_that_lost_its_end_is_reset_at_once() -> None:
    live = running()
    for word in ("One", " two"):
        say(live, word)
    await stepped(live, "One two")
    epoch = live.frame.epoch

    live.replace(log_of("One"))

    assert (live.frame.seq, live.frame.place.length, live.frame.epoch) == (1, 3, epoch + 1)


async def test_a_frame_behind_what_a_viewer_has_seen_is_not_delivered() -> None:
    live = running()
    for word in ("One", " two"):
        say(live, word)
    await stepped(live, "One")
    ahead = live.at(2, FENCE)  # as a viewer comes back who has seen more than the last step
    assert ahead
    live.frame = live.frame._replace(seq=1)
    follower = Follower(live)
    follower.task.cancel()
    follower.task = asyncio.create_task(live.follow(ahead, follower.take))
    await asyncio.sleep(0)

    for each in live._followers:
        each.go_on(live.frame)

    assert follower.steps == []
    follower.task.cancel()


async def test_no_chunk_is_a_place_in_another_text() -> None:
    live = running()
    say(live, "One")
    live.finish({"id": "m", "status": "complete", "content": "Another", "reasoning": ""})

    assert live.at(1, FENCE) is None
