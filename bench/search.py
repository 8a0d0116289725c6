"""The search and the list of a session with 2,000 chats and 100,000 messages, in a database of 1,000,000 messages.

Filling the database takes some minutes. `find_messages` is the part in PostgreSQL, with row-level security. A browser
is measured from the last key until the next paint with results, including the pause that the field waits for more keys.
"""

import random
import shutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from time import monotonic
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import asyncpg
from playwright.async_api import async_playwright

from bench import systems
from bench.load import percentile
from bench.neighbours import OWN_ADDRESS, Client
from bench.page import CHROMIUM
from bench.table import format_table
from dbapi.search_query import parse, tsquery

OWN_CHATS, CHAT_MESSAGES, OTHER_SESSIONS, CHATS_AT_ONCE = 2_000, 50, 900, 20  # of one session
REPETITIONS = 40
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
VOCABULARY, TEXTS = 50_000, 20_000
QUESTION_WORDS, ANSWER_WORDS = 15, 120
AGE = timedelta(days=700)

# Not COPY, which row-level security refuses
_ADD_SESSIONS = "INSERT INTO sessions (id) SELECT unnest($1::uuid[])"
_ADD_CHATS = """
INSERT INTO chats (id, session_id, username, system_prompt, title, updated_at)
SELECT id, $1, 'bench', '', title, updated_at
  FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS new (id, title, updated_at)
"""
_ADD_MESSAGES = """
INSERT INTO messages (id, session_id, chat_id, parent_id, role, content, created_at)
SELECT id, $1, chat_id, parent_id, role, content, created_at
  FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[])
       AS new (id, chat_id, parent_id, role, content, created_at)
"""
_END_CHATS = """
UPDATE chats c SET tip_id = m.id FROM messages m
 WHERE m.session_id = c.session_id AND m.chat_id = c.id AND c.session_id = $1 AND c.id = ANY ($2::uuid[])
   AND NOT EXISTS (SELECT FROM messages n WHERE n.session_id = c.session_id AND n.parent_id = m.id)
"""
_FIND = "SELECT count(*) FROM find_messages(to_tsquery('public.runnel', $1), 300, false, '{}')"
_SIZE = "SELECT count(*), pg_size_pretty(pg_database_size(current_database())) FROM messages"
_TYPE = """async text => {
  const field = document.querySelector("#search"), found = document.querySelector("#found"), began = performance.now();
  field.value = text;
  const painted = new Promise(resolve => new MutationObserver((changes, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(resolve));
  }).observe(found, {childList: true}));
  field.dispatchEvent(new Event("input", {bubbles: true}));
  await painted;
  return (performance.now() - began) / 1000;
}"""


class Corpus:
    """Texts whose words are as frequent as Zipf's law says."""

    def __init__(self) -> None:
        self.random = random.Random(1)  # noqa: S311 (no secrets)
        self.words = ["".join(self.random.choices(SYLLABLES, k=2 + i % 3)) + str(i % 7) for i in range(VOCABULARY)]
        weights = list(accumulate(1 / (rank + 1) for rank in range(VOCABULARY)))
        self._texts = [
            " ".join(self.random.choices(self.words, cum_weights=weights, k=ANSWER_WORDS // 2)) for _ in range(TEXTS)
        ]

    def text(self, words: int) -> str:
        """A text of this number of words, or one of two parts."""
        half = self.random.choice(self._texts)
        if words < ANSWER_WORDS // 2:
            return " ".join(half.split(" ", words)[:words])
        return f"{half} {self.random.choice(self._texts)}"

    def queries(self) -> dict[str, Callable[[], str]]:
        def word(first: int, last: int) -> str:
            return self.words[self.random.randrange(first, last)]

        return {
            "a rare word": lambda: word(20_000, 50_000),
            "a common word": lambda: word(0, 50),
            "two words": lambda: f"{word(0, 500)} {word(0, 500)}",
            "a phrase": lambda: '"' + " ".join(self.random.choice(self._texts).split(" ", 4)[1:4]) + '"',
            "a word without another": lambda: f"{word(100, 1000)} -{word(0, 100)}",
            "one letter, typed": lambda: word(0, 50)[:1],
            "three letters, typed": lambda: word(0, 5000)[:3],
            "no such word": lambda: "qqqq" + word(0, 50),
        }


async def table() -> str:
    async with systems.model_server() as model, systems.runnel(1, LLAMA_URL=model.url) as runnel:
        client, corpus = Client(runnel.url, OWN_ADDRESS), Corpus()
        await client.begin()
        owner: Any = await asyncpg.connect((runnel.data_dir / "run" / "postgres.url").read_text().strip())
        session = await owner.fetchval("SELECT session_id FROM chats")
        await _fill(owner, session, corpus)
        body = [await _row(client, owner, session, kind, make) for kind, make in corpus.queries().items()]
        lists = await _times(lambda number: client.get("/"))
        pages = await _times(lambda number: client.get(client.chat))
        body.append(("three letters, in a browser", "", await _typed(client, corpus)))
        count, size = await owner.fetchrow(_SIZE)
        await owner.close()
    body += [("the home page", "", _ms(lists)), ("a chat page with its list", "", _ms(pages))]
    title = f"Search in a session of {OWN_CHATS:,} chats, among {count:,} messages ({size}); p50 / p95 in ms"
    return format_table(title, body, ("", "find_messages", "GET"))


async def _fill(owner: Any, session: UUID, corpus: Corpus) -> None:
    others = [uuid4() for _ in range(OTHER_SESSIONS)]
    await owner.execute(_ADD_SESSIONS, others)
    for each in others:
        await _add_chats(owner, each, corpus)
    for _ in range(OWN_CHATS // CHATS_AT_ONCE):
        await _add_chats(owner, session, corpus)
    await owner.execute("VACUUM ANALYZE")


async def _add_chats(owner: Any, session: UUID, corpus: Corpus) -> None:
    chats = [(uuid4(), corpus.text(5), _some_time(corpus)) for _ in range(CHATS_AT_ONCE)]
    messages = [message for id, _, time in chats for message in _messages(id, time, corpus)]  # noqa: A001
    await owner.execute(_ADD_CHATS, session, *zip(*chats, strict=True))
    await owner.execute(_ADD_MESSAGES, session, *zip(*messages, strict=True))
    await owner.execute(_END_CHATS, session, [id for id, _, _ in chats])  # noqa: A001


def _messages(chat: UUID, time: datetime, corpus: Corpus) -> Iterator[tuple[Any, ...]]:
    parent = None
    for number in range(CHAT_MESSAGES):
        role, words = ("assistant", ANSWER_WORDS) if number % 2 else ("user", QUESTION_WORDS)
        message = uuid4()
        yield message, chat, parent, role, corpus.text(words), time
        parent = message


def _some_time(corpus: Corpus) -> datetime:
    return datetime.now(UTC) - AGE * corpus.random.random()


async def _row(client: Client, owner: Any, session: UUID, kind: str, make: Callable[[], str]) -> tuple[str, str, str]:
    typing = "&typing=1" if "typed" in kind else ""
    texts = [make() for _ in range(REPETITIONS)]
    requested = await _times(
        lambda number: client.get(f"/search?q={quote(texts[number])}{typing}", **{"HX-Request": "true"})
    )

    async def find(number: int) -> None:
        parsed = tsquery(parse(texts[number], bool(typing)))
        async with owner.transaction():
            await owner.execute("SELECT set_config('app.session_id', $1, true)", str(session))
            await owner.fetchval(_FIND, parsed)

    return kind, _ms(await _times(find)), _ms(requested)


async def _typed(client: Client, corpus: Corpus) -> str:
    browser_path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not browser_path:
        return "no Chromium found"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(base_url=client.url)
        name, _, value = client.cookie.partition("=")
        await context.add_cookies([{"name": name, "value": value, "url": client.url}])
        tab = await context.new_page()
        await tab.goto(client.chat)
        make = corpus.queries()["three letters, typed"]
        seconds = [await tab.evaluate(_TYPE, make()) for _ in range(REPETITIONS + 1)][1:]
        await browser.close()
    return _ms(seconds)


async def _times(action: Callable[[int], Awaitable[Any]]) -> list[float]:
    await action(0)
    seconds = []
    for number in range(REPETITIONS):
        began = monotonic()
        await action(number)
        seconds.append(monotonic() - began)
    return seconds


def _ms(seconds: list[float]) -> str:
    seconds = sorted(seconds)
    return f"{percentile(seconds, 0.5) * 1000:.0f} / {percentile(seconds, 0.95) * 1000:.0f}"
