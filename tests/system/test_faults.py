"""Whatever is killed in the middle of an answer comes back by itself, and the answer is finished with all that was shown."""

import asyncio

import httpx
import pytest

from tests.stack import until
from tests.system.running import Runnel
from tests.system.user import User

STORY = "Write a very long story about a lighthouse and the storm that it saw."
CUTS_VIEWERS_OFF = ("web-1", "nginx")


@pytest.mark.parametrize("service", ["web-1", "dbapi-1", "llama", "postgres", "nginx"])
async def test_an_answer_survives_the_death_of(runnel: Runnel, ada: User, service: str) -> None:
    answer = await ada.say(STORY)
    shown: list[str] = []
    watching = asyncio.create_task(watch(ada, answer, shown))
    await until(lambda: len("".join(shown)) > 40)
    assert (await ada.look(answer))["status"] == "streaming"

    runnel.kill(service)

    await runnel.back(service)
    await until(lambda: ready(ada.http))
    after = await ada.ended(answer)
    await watching
    assert after["status"] == "complete", after
    assert after["content"].startswith("".join(shown))
    if service not in CUTS_VIEWERS_OFF:
        assert "".join(shown) == after["content"], "whoever watched saw all of it, over one connection"
    again = await ada.say("Are you still there?")
    await ada.written(again)
    await ada.stop(again)


async def watch(person: User, answer: str, shown: list[str]) -> None:
    try:
        async for _, text in person.tail(answer):
            shown.append(text)
    except httpx.TransportError:
        return


async def ready(http: httpx.AsyncClient) -> bool:
    try:
        answer = await http.get("/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["model"] == "ready"
