"""Real answers, from llama.cpp through nginx."""

import asyncio
from itertools import pairwise

from tests.stack import until
from tests.system.conftest import SLOTS, TOKENS
from tests.system.running import Runnel
from tests.system.user import User, user

STORY = "Write a very long story about a river and the people who live beside it."


async def test_an_answer_arrives_in_small_parts_and_is_stored_as_shown(ada: User) -> None:
    answer = await ada.say(STORY)

    arrivals = [arrival async for arrival in ada.tail(answer)]

    stored = await ada.look(answer)
    seconds = [at for at, _ in arrivals]
    distinct = 1 + sum(later - earlier > 0.005 for earlier, later in pairwise(seconds))
    assert distinct >= 10, seconds
    assert seconds[0] < seconds[-1] / 2, "the first words arrive long before the last ones"
    assert max(len(text) for _, text in arrivals) < len(stored["content"]) / 4, "no large part"
    assert "".join(text for _, text in arrivals) == stored["content"]
    assert stored["status"] == "complete"


async def test_an_answer_stores_its_usage_and_timings(ada: User) -> None:
    answer = await ada.ended(await ada.say("Count to ten."))

    assert 0 < answer["usage"]["completion_tokens"] <= TOKENS
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
    assert answer["timings"]["first_word_ms"] > 0
    assert answer["timings"]["predicted_per_second"] > 0


async def test_the_prompt_contains_the_conversation(ada: User) -> None:
    first = await ada.ended(await ada.say("Name a colour."))
    second = await ada.ended(await ada.say("And another one."))

    grown = second["usage"]["prompt_tokens"] - first["usage"]["prompt_tokens"]
    assert grown >= first["usage"]["completion_tokens"]
    assert [message["role"] for message in await ada.messages()] == [
        "assistant",
        "user",
        "assistant",
        "user",
        "assistant",
    ]


async def test_an_answer_without_viewers_is_finished(ada: User) -> None:
    answer = await ada.say(STORY)
    async for _, text in ada.tail(answer):
        assert text
        break
    before = await ada.look(answer)
    assert before["status"] == "streaming"

    async def grows_without_viewers() -> bool:
        return len((await ada.look(answer))["content"]) > len(before["content"])

    await until(grows_without_viewers)
    after = await ada.ended(answer)
    assert after["status"] == "complete"
    assert after["content"].startswith(before["content"])


async def test_stop_keeps_the_text_and_frees_the_slot_for_a_queued_answer(runnel: Runnel) -> None:
    async with user(runnel.origin) as ada:
        answers = []
        for _ in range(SLOTS):
            await ada.begin()
            answers.append(await ada.say(STORY))
        for answer in answers:
            await ada.written(answer, 20)
        await ada.begin()
        waiting = await ada.say(STORY)
        assert (await ada.look(waiting))["status"] == "queued"

        await ada.stop(answers[0])

        stopped = await ada.ended(answers[0], seconds=2)
        assert stopped["status"] == "stopped"
        assert stopped["content"]
        await ada.written(waiting)
        assert (await ada.look(answers[1]))["status"] == "streaming", (
            "the queued answer uses the slot of the stopped one"
        )
        await asyncio.gather(ada.stop(waiting), ada.stop(answers[1]))
        assert (await ada.look(answers[0]))["content"] == stopped["content"]
