"""The real model is asked for a title, and the next answer finds the whole chat in the model's cache all the same."""

import json
from typing import Any

from tests.stack import until
from tests.system.running import Runnel
from tests.system.user import User


def titles(runnel: Runnel) -> list[Any]:
    """What became of titles so far, as logged."""
    lines = (runnel.dev.run.parent / "log" / "web-1.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record["result"] for record in records if record["message"] == "title"]


async def test_after_a_title_the_next_prompt_is_still_in_the_cache(runnel: Runnel, ada: User) -> None:
    before = len(titles(runnel))
    first = (await ada.ended(await ada.say("Name three rivers in Europe.")))["usage"]
    await until(lambda: len(titles(runnel)) > before)
    assert titles(runnel)[before] in ("stored", "unusable"), "it depends on the model, but it was asked"

    second = (await ada.ended(await ada.say("Which of them is the longest?")))["usage"]

    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert cached >= 0.9 * first["total_tokens"], (first, second)
