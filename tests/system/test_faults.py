"""A service that is killed during an answer is restarted, and the answer is finished without losing shown text."""

import asyncio

import httpx
import pytest

from tests.stack import until
from tests.system.running import Runnel
from tests.system.user import User

STORY = "Write a very long story about a lighthouse and the storm that it saw."
DISCONNECTS_VIEWERS = ("web-1", "nginx")


@pytest.mark.parametrize("service", ["web-1", "dbapi-1", "llama", "postgres", "nginx"])
async def test_an_answer_survives_the_death_of_a_service(runnel: Runnel, ada: User, service: str) -> None:
    answer = await ada.say(STORY)
    shown: list[str] = []
    watching = asyncio.create_task(watch(ada, answer, shown))
    await until(lambda: len("".join(shown)) > 40)
    assert (await ada.look(answer))["status"] == "streaming"

    runnel.kill(service)

    await runnel.wait_restarted(service)
    await until(lambda: ready(ada.http))
    after = await ada.ended(answer)
    await watching
    assert after["status"] == "complete", after
    assert after["content"].startswith("".join(shown))
    if service not in DISCONNECTS_VIEWERS:
        assert "".join(shown) == after["content"], "the viewer saw the whole answer over one connection"
    again = await ada.say("Are you still there?")
    await ada.written(again)
    await ada.stop(again)


async def watch(user: User, answer: str, shown: list[str]) -> None:
    try:
        async for _, text in user.tail(answer):
            shown.append(text)
    except httpx.TransportError:
        return


async def ready(http: httpx.AsyncClient) -> bool:
    try:
        answer = await http.get("/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["model"] == "ready"
