"""A search finds messages and titles by their words, in any script, and any text is a query."""

import random
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbapi.search_query import Clause, words
from tests.dbapi.calls import (
    ask,
    found,
    hits,
    search,
)
from tests.dbapi.conftest import CREDENTIAL, Api
from tests.stack import Service

pytestmark = pytest.mark.usefixtures("idle_log")

GERMAN = "Der Bär aß in Łódź Äpfel: die größten!"
RUSSIAN = "Съешь ещё этих мягких французских булок"
GREEK = "Ο λόγος και η ΟΔΟΣ"
ARABIC = "مرحبا بالعالم"
HINDI = "नमस्ते दुनिया, यह हिन्दी है"
CHINESE = "今天北京的天气很好。"
JAPANESE = "東京タワーへ行きましょう"
KOREAN = "서울에서 만나요"
THAI = "สวัสดีชาวโลก"
HEBREW = "שלום עולם"
CODE = "In `web/messages.py`, v1.2.3 renamed snake_case to get_user(id) at https://example.org/a?b=c."
ENGLISH = "The cat isn’t on the mat; it is a concatenation of one, two and three."


# Words


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        (GERMAN, ["äpfel", "APFEL", "bar", "Bär", "ass", "aß", "lodz"]),
        (GERMAN, ["größten", "GROSSTEN", "groß*", '"die größten"']),
        (RUSSIAN, ["ещё", "ЕЩЕ", "булок", "мяг*", '"этих мягких"']),
        (GREEK, ["λογος", "ΛΌΓΟΣ", "λόγος", "οδός", "λογ*"]),
        (ARABIC, ["بالعالم", "مرح*", '"مرحبا بالعالم"']),
        (HINDI, ["दुनिया", "हिन्दी", "नमस्*"]),
        (CHINESE, ["北京", "天气", "好", "今天 天气", '"的天气"']),
        (JAPANESE, ["東京", "タワー", "ワ", "行き"]),
        (KOREAN, ["서울", "만나요", "에서 서울"]),
        (THAI, ["สวัสดี", "โลก", "ชาว"]),
        (HEBREW, ["עולם", "של*"]),
        (CODE, ["web/messages.py", "messages", "messages.py", "v1.2.3", "v1.2", "snake_case", "case", "get_user"]),
        (CODE, ["get_user(id)", "https://example.org/a?b=c", "example.org", "a?b=c"]),
        (ENGLISH, ["cat", "isn't", "isn’t", "a", "the", '"it is a"', '"on the mat"', "two -four", "mat -dog", "con*"]),
        (ENGLISH, ["three one", "“one, two”", '"one two', "cat CAT", "-dog"]),
        ("cafe\u0301 nai\u0308ve", ["café", "cafe", "naïve", "cafe\u0301", "nai\u0308ve"]),
        ("Wör\u00adter\u200bbuch\u202c", ["wörterbuch", "wor\u00adterbuch", "wört*"]),
        ("مَرْحَبًا שָׁלוֹם", ["مرحبا", "مَرحبا", "שלום", "שָׁלוֹם"]),
        ("می\u200cخواهم", ["میخواهم", "می\u200cخواهم"]),
        ("x" * 1000 + " end", ["x" * 1000, "x" * 255 + "*", "end"]),
    ],
)
async def test_words_are_found_in_every_script(api: Api, text: str, queries: list[str]) -> None:
    message = await ask(api, text)

    missed = [q for q in queries if [hit["message_id"] for hit in await hits(api, q)] != [message["id"]]]

    assert missed == []


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        (ENGLISH, ["ca", "dog", "cat dog", "cat -mat", '"two one"', '"one three"', "onetwo", "-cat", "at*"]),
        (ENGLISH, ['-"the mat"', "cat -con*", "-x -the"]),
        (CODE, ["messages/web", "v1.3", '"snake user"']),
        (CHINESE, ["京北", "北天", "北京 上海"]),
        (KOREAN, ["울서"]),
        (GERMAN, ["pfel", "gross", "-bär"]),
    ],
)
async def test_only_what_matches_is_found(api: Api, text: str, queries: list[str]) -> None:
    await ask(api, text)

    wrong = [q for q in queries if await hits(api, q)]

    assert wrong == []


@pytest.mark.parametrize("q", ["", " ", '"', "-", "!?", "🙂", "—", "*", "\0"])
async def test_a_query_without_a_word_finds_nothing(api: Api, q: str) -> None:
    await ask(api, "Why? 🙂 — \N{REPLACEMENT CHARACTER}")

    assert await search(api, q) == {"results": [], "is_complete": True}


async def test_while_it_is_typed_the_last_word_finds_what_begins_with_it(api: Api) -> None:
    await ask(api, "A postgresql question about messages")

    assert await found(api, "question postg") == []
    assert await found(api, "question postg", typing=1) == ["A [postg]resql [question] about messages"]
    assert await found(api, '"about mess', typing=1) == ["A postgresql question [about mess]ages"]
    assert await found(api, "q", typing=1) == []
    assert await found(api, '"postg"', typing=1) == []
    assert await found(api, "question postg", typing=0) == []


async def test_every_word_of_a_text_finds_it(owner: Any) -> None:
    """The rules for queries, in Python, agree with those for texts, in PostgreSQL."""
    generator, checked = random.Random(16), 0
    alphabet = [*GERMAN, *RUSSIAN, *GREEK, *ARABIC, *HINDI, *CHINESE, *JAPANESE, *KOREAN, *THAI, *CODE]
    alphabet += [*"  \n\t\xa0\u200d—…’«»🙂ßςΣİıﬁⅧＡ½²𠮷ｶ々မ", *["e\u0301"] * 9, "\u0301"]
    for _ in range(500):
        text = "".join(generator.choices(alphabet, k=generator.randint(1, 40)))
        pieces = words(text)
        if not pieces:
            continue
        start = generator.randrange(len(pieces))
        query = Clause(tuple(pieces[start : start + generator.randint(1, 4)]), generator.random() < 0.3).tsquery
        nodes, matches = await owner.fetchrow(
            "SELECT numnode(q), words_of($1) @@ q FROM to_tsquery('public.runnel', $2) q", text, query
        )
        assert matches or not nodes, (text, query)
        checked += bool(nodes)
    assert checked > 300


# Any text is a query


PIECES = [*"\"-* '\\:&|!()\0%W北é\u0301", "<->", "why"]
HOSTILE = {
    "quotes": '"' * 10_000,
    "exclusions": "-why " * 2000,
    "only exclusions": "-a -b -c",
    "words": "why " * 2500,
    "letters": "".join(f"{chr(97 + n % 26)} " for n in range(5000)),
    "prefixes": "a* " * 3000,
    "characters": "北" * 7000,
    "one long word": "w" * 10_000,
    "too long": "why." * 15_000,
    "operators": "& | ! ( ) <-> :* ''' \\ " * 400,
    "a tsquery": "'why':*A & !( foo <2> bar ) | \\",
    "expanding letters": "Ⅷﬁﷺ㎯" * 1500,
    "one long expanding word": "ⅷ" * 3000,
    "long expanding words": " ".join("ⅷ" * n for n in range(506, 516)),
    "combining": "e" + "\u0301" * 9999,
    "zero": "why\0why",
    "direction": "\u202ewhy\u202c",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_queries_find_something_or_nothing(api: Api, name: str) -> None:
    await ask(api, "Why? W北 é")

    for typing in (0, 1):
        assert (await search(api, HOSTILE[name], typing=typing))["is_complete"]


@pytest.mark.parametrize(
    "raw", ["%", "%zz", "%ff%fe", "%ed%a0%80", "%00", "why%00", "&q=why&q=not", "&typing=x&limit=%00"]
)
async def test_malformed_parameters_are_no_error(api: Api, raw: str) -> None:
    response = await api.get(f"/search?q={raw}")

    assert response.status_code == 200


@pytest.fixture(scope="module")
def visitor(service: Service) -> Iterator[httpx.Client]:
    headers = CREDENTIAL | {"X-Session-ID": str(uuid4())}
    with httpx.Client(base_url=service.url, headers=headers, trust_env=False) as http:
        chat = http.post("/chats", json={"username": "Ada"}).json()
        for content in ("Why? W北 é", "why not", "W"):
            assert http.post(f"/chats/{chat['id']}/turns", json={"content": content}).is_success
        yield http


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=100), st.booleans())
def test_no_text_is_an_error(visitor: httpx.Client, q: str, is_typing: bool) -> None:
    response = visitor.get("/search", params={"q": q, "typing": int(is_typing)})

    assert response.status_code == 200
    assert response.json()["is_complete"]


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("2", 2), ("0", 1), ("999", 3), ("x", 3), ("-1", 3), ("", 3)])
async def test_the_limit_counts_chats(api: Api, limit: str, count: int) -> None:
    for _ in range(3):
        await ask(api, "Why?")

    assert len((await search(api, "why", limit=limit))["results"]) == count
