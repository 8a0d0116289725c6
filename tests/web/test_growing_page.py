"""The page that grows without JavaScript: rendered once for all its viewers, and not much longer than the answer."""

import asyncio
import re
import time
from typing import Any, cast
from uuid import UUID

import pytest

from web.contract import CONTENT, Chunk, Message
from web.live import viewers
from web.live.hub import LiveAnswers
from web.rendering.markdown import render
from web.rendering.templates import Templates

TEMPLATES = Templates()
SESSION, CHAT = UUID(int=1), UUID(int=2)
MESSAGE = cast(
    Message,
    {
        "id": str(UUID(int=4)),
        "generation_id": str(UUID(int=3)),
        "role": "assistant",
        "status": "streaming",
        "content": "",
        "reasoning": "",
        "error": None,
        "finish_reason": None,
        "model": None,
        "usage": None,
        "timings": None,
        "siblings": [],
        "created_at": "2026-11-27T08:00:00Z",
        "parent_id": None,
    },
)


class Models:
    state, context = "ready", None

    def of(self, _: str | None) -> "Models":
        return self


async def read(parts: Any) -> str:
    return "".join([part if isinstance(part, str) else part.decode() async for part in parts])


async def show(text: str, chunks: int, seconds: float, count: int) -> tuple[list[str], list[str], float]:
    """Pages and event streams of as many viewers while the text arrives, and the CPU time of the pages."""
    hub = LiveAnswers(cast(Any, None), cast(Any, Models()), TEMPLATES)
    hub.started(SESSION, CHAT, MESSAGE)
    started_at = time.process_time()
    with hub.watch(SESSION, CHAT, MESSAGE) as answer:
        pages = [asyncio.create_task(read(viewers.growing_page(answer, TEMPLATES))) for _ in range(count)]
        streams = [asyncio.create_task(read(viewers.events(answer, "", None)))]
        for number in range(chunks):
            part = text[len(text) * number // chunks : len(text) * (number + 1) // chunks]
            assert answer.extend(Chunk(number + 1, 1, CONTENT, part))
            await asyncio.sleep(seconds / chunks)
        answer.finish({**MESSAGE, "status": "complete", "content": text})
        shown, events = await asyncio.gather(*pages), await asyncio.gather(*streams)
    return shown, events, time.process_time() - started_at


TEXTS = {
    "list": "- an *item* of `code`\n" * 500,
    "nested list": "- an item\n  - with *another* one\n    1. and one\n" * 250,
    "quote": "> a *quoted* line\n" * 500,
    "table": "| a | b |\n|---|---|\n" + "| a *cell* | another |\n" * 400,
    "paragraph": "some *emphasis* in `one` paragraph\n" * 300,
    "code": "```py\n" + "x = [1, 2]\n" * 1000,
    "code too long for colours": "```py\n" + "x = [1, 2]\n" * 2000,
    "string in code": "```py\n'''\n" + "a\n" * 3000,
    "code in a list": "- look:\n\n  ```py\n" + "  x = [1, 2]\n" * 1000,
}


@pytest.mark.parametrize("name", TEXTS)
async def test_an_answer_is_sent_in_at_most_20_times_its_html(name: str) -> None:
    final = len(render(TEXTS[name]))

    (page,), (events,), _ = await show(TEXTS[name], chunks=100, seconds=5, count=1)

    assert len(page) < 20 * final
    assert len(events) < 20 * final
    assert page.count('<div class="tail">') > 5


async def test_code_on_a_growing_page_has_colours_and_grows_as_smoothly_as_without() -> None:
    code = "def double(number):\n    # the number, and the same number again\n    return number + number\n" * 50
    (page,), *_ = await show(f"```py\n{code}", chunks=80, seconds=4, count=1)
    (plain,), *_ = await show(f"```nonsense\n{code}", chunks=80, seconds=4, count=1)

    tails = re.findall(r'<div class="tail">(.*?)</div>', page, re.DOTALL)
    assert len(tails) > 0.75 * plain.count('<div class="tail">')
    assert sum('<span class="tok-k">return</span>' in tail for tail in tails) > 0.75 * len(tails)


async def test_many_viewers_of_a_growing_page_cost_little_more_than_one() -> None:
    *_, one = await show(TEXTS["list"], chunks=60, seconds=3, count=1)
    pages, _, many = await show(TEXTS["list"], chunks=60, seconds=3, count=30)

    assert len({page[page.rindex('<div class="tail">') :] for page in pages}) == 1
    assert many < 4 * one + 0.5


@pytest.mark.parametrize(("again", "shown"), [("one two three", "one two three"), ("one 2 three", "one two")])
async def test_a_text_stream_waits_until_a_lost_end_is_written_again(again: str, shown: str) -> None:
    hub = LiveAnswers(cast(Any, None), cast(Any, Models()), TEMPLATES)
    hub.started(SESSION, CHAT, MESSAGE)
    with hub.watch(SESSION, CHAT, MESSAGE) as answer:
        reading = asyncio.create_task(read(viewers.text(answer)))
        for text in ("one two", "one", again[:5], again):
            answer.replace([Chunk(1, 1, CONTENT, text)], 1)
            await asyncio.sleep(0.05)
        answer.finish({**MESSAGE, "status": "complete", "content": again})

        assert await reading == shown
