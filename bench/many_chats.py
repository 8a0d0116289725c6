"""S8: chats that take turns on the slots of a real llama.cpp, through Runnel and directly.

There are more chats than slots, so nearly every turn finds its slot taken by another chat. The second measurement
drives llama.cpp itself with the largest useful prompt cache; the third has a single chat, which never loses its slot.
"""

import asyncio
import random
import statistics
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from bench import systems
from bench.conversation import Turn, directly, through_runnel
from bench.table import format_table
from llama.memory import prompt_cache_mib

CHATS, SLOTS, TURNS, ANSWER_TOKENS = 12, 4, 5, 24
MESSAGE_WORDS = 80
LARGE_CACHE_MIB = 8192
WORDS = ("river", "stone", "light", "paper", "garden", "window", "summer", "music", "winter", "market", "bridge")


async def table() -> str:
    async with _runnel(prompt_cache_mib()) as runnel:
        chats = await _take_turns([through_runnel(runnel, _message, f"User {number}") for number in range(CHATS)])
    async with _runnel(prompt_cache_mib()) as runnel:
        single = await _take_turns([through_runnel(runnel, _message, "User 0")])
    async with _runnel(LARGE_CACHE_MIB) as runnel:
        users = [f"User {number}" for number in range(CHATS)]
        direct = await _take_turns([directly(runnel.data_dir, _message, user, ANSWER_TOKENS) for user in users])
    body = [
        _row(f"Runnel, {CHATS} chats", chats),
        _row(f"llama.cpp alone, {CHATS} chats", direct),
        _row("Runnel, one chat", single),
    ]
    title = f"S8: chats that take turns on {SLOTS} slots of llama.cpp; without the first turn of each"
    return format_table(title, body, ("", "cached part of the prompts", "first token p50, ms"))


def _runnel(prompt_cache: int) -> AbstractAsyncContextManager[systems.System]:
    return systems.runnel(
        1,
        LLAMA_URL="",
        LLAMA_SLOTS=str(SLOTS),
        LLAMA_PROMPT_CACHE=str(prompt_cache),
        MAX_TOKENS=str(ANSWER_TOKENS),
    )


async def _take_turns(chats: list[AsyncIterator[Turn]]) -> list[Turn]:
    """Each chat has a turn in each round, and as many chats at once as there are slots."""
    free, turns = asyncio.Semaphore(SLOTS), []

    async def turn(chat: AsyncIterator[Turn]) -> Turn:
        async with free:
            return await anext(chat)

    for number in range(TURNS):
        this_round = await asyncio.gather(*map(turn, chats))
        turns += this_round if number else []
    return turns


def _message(user: str, turn: int) -> str:
    generator = random.Random(f"{user} {turn}")  # noqa: S311 (no secrets)
    return f"{user}: continue this list. " + " ".join(generator.choices(WORDS, k=MESSAGE_WORDS))


def _row(name: str, turns: list[Turn]) -> tuple[str, str, str]:
    cached, processed = sum(turn[1] for turn in turns), sum(turn[2] for turn in turns)
    first_token = 1000 * statistics.median(turn[0] for turn in turns)
    return name, f"{100 * cached / (cached + processed):.1f} % of {cached + processed:,}", f"{first_token:.0f}"
