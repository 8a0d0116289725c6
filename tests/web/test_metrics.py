"""The metrics of a web process."""

import re

from tests.stack import Service, client, until
from tests.web.visitor import Visitor

SAMPLE = re.compile(r"^([a-z_]+(?:\{[a-z]+=\"[a-z]+\"\})?) (\d+)$", re.MULTILINE)


async def figures(web: Service) -> dict[str, int]:
    async with client(web.url) as http:  # by address, like a scraper
        answer = await http.get("/metrics", headers={"Host": "10.1.2.3:8000"})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert len(SAMPLE.findall(answer.text)) == len(
        [line for line in answer.text.splitlines() if not line.startswith("#")]
    )
    return {name: int(value) for name, value in SAMPLE.findall(answer.text)}


async def test_a_running_answer_and_its_viewers_are_counted(visitor: Visitor) -> None:
    before = await figures(visitor.web)
    chat = await visitor.begin()
    message = await visitor.say(chat, {"text": "one two three four", "delay_ms": 300})
    await visitor.written(chat, message)
    page = await visitor.page(chat)

    async with visitor.following(page, message) as watched:
        during = await figures(visitor.web)
        await watched.shown(page)
    await until(lambda: visitor.ended(chat, message))
    after = await figures(visitor.web)

    assert (during["runnel_answers_running"], during["runnel_streams_open"]) == (1, 1)
    assert (during["runnel_model_ready"], during["runnel_model_slots"]) == (1, 4)
    assert (after["runnel_answers_running"], after["runnel_streams_open"]) == (0, 0)
    complete = 'runnel_answers_ended_total{status="complete"}'
    assert after[complete] == before[complete] + 1
