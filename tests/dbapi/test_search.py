"""A search finds messages and titles by their words, in any script, and whatever is typed is a query."""

import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbapi.search_query import Clause, words
from tests.dbapi.calls import (
    another_answer,
    answered,
    append,
    claim,
    finish,
    hits,
    marked,
    new_chat,
    new_turn,
    running,
    search,
)
from tests.dbapi.conftest import CREDENTIAL, Api
from tests.stack import DBAPI_KEY, NO_LIMITS, Cluster, Service, client

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


async def bare_chat(api: Api) -> Any:
    """Creates a chat without an opening message."""
    return (await api.post("/chats", json={"username": "Ada"})).json()


async def ask(api: Api, content: str, chat: Any = None) -> Any:
    """Stores a user's message, in a new chat unless one is given. Returns it."""
    return (await new_turn(api, chat or await bare_chat(api), content))["user"]


async def found(api: Api, q: str, **parameters: Any) -> list[str]:
    """The snippets of all messages that a search finds."""
    return [marked(hit["snippet"]) for hit in await hits(api, q, **parameters)]


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


# Results


async def test_hits_are_grouped_by_chat_with_the_best_three(api: Api) -> None:
    rich, poor = await new_chat(api), await new_chat(api)
    for number in range(5):
        await answered(api, rich, f"What is a rill? No. {number}", "A rill is a rill." if number == 2 else "Water.")
    await ask(api, "A rill", poor)

    results = (await search(api, "rill"))["results"]

    assert {result["chat_id"] for result in results} == {rich["id"], poor["id"]}
    (of_rich,) = [result["hits"] for result in results if result["chat_id"] == rich["id"]]
    assert [(hit["role"], marked(hit["snippet"])) for hit in of_rich] == [
        ("assistant", "A [rill] is a [rill]."),
        ("user", "What is a [rill]? No. 4"),
        ("user", "What is a [rill]? No. 3"),
    ]


async def test_a_title_is_found_by_the_same_rules(api: Api) -> None:
    chat, other = await new_chat(api), await new_chat(api)
    await api.patch(f"/chats/{chat['id']}", json={"title": "Über Bäche: v1.2"})
    await api.patch(f"/chats/{other['id']}", json={"title": "Fragen"})
    await ask(api, "Was sind Bäche?", other)

    for q in ("BACHE uber", "v1.2", "bäch*", '"über bäche"', "uber -fluss"):
        (result,) = [each for each in (await search(api, q))["results"] if each["chat_id"] == chat["id"]]
        assert result["hits"] == []
    first, second = (await search(api, "bäche"))["results"]
    assert (first["chat_id"], marked(first["title"])) == (chat["id"], "Über [Bäche]: v1.2")
    assert first["updated_at"] == chat["updated_at"]
    assert (second["chat_id"], marked(second["title"])) == (other["id"], "Fragen")


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Cafe AT 5km", "at 5km"),
        ("Cafe", "CAFÉ"),
        ("Café", "cafe"),
        ("web/messages.py, v1.2", '"messages.py" v1.2 web'),
        ("Tides", "ti*"),
        ("Tides", "tides -café"),
        ("12abc", "12abc"),
        ("1e5 items", "1e5"),
        ("天 tides", "TIDES 天"),
        ("Tides", "tides —"),
    ],
)
async def test_a_title_is_found(api: Api, title: str, query: str) -> None:
    chat = await new_chat(api)
    await api.patch(f"/chats/{chat['id']}", json={"title": title})

    assert [result["chat_id"] for result in (await search(api, query))["results"]] == [chat["id"]]


async def test_a_chat_without_a_title_has_none(api: Api) -> None:
    chat = await new_chat(api)

    (result,) = (await search(api, "hello"))["results"]

    assert (result["chat_id"], result["title"]) == (chat["id"], [])


async def test_a_newer_message_comes_before_an_equal_older_one(api: Api, owner: Any) -> None:
    old, new, newest = [await ask(api, "Why?") for _ in range(3)]
    await owner.execute("UPDATE messages SET created_at = now() - interval '90 days' WHERE id = $1", new["id"])
    await owner.execute("UPDATE messages SET created_at = now() - interval '900 days' WHERE id = $1", old["id"])

    assert [hit["message_id"] for hit in await hits(api, "why")] == [newest["id"], new["id"], old["id"]]


async def test_markup_is_text(api: Api) -> None:
    await ask(api, "<mark>needle</mark> & <img src=x onerror=alert(1)>")

    (result,) = (await search(api, "needle"))["results"]

    parts = [
        {"text": "<mark>", "is_match": False},
        {"text": "needle", "is_match": True},
        {"text": "</mark> & <img src=x onerror=alert(1)>", "is_match": False},
    ]
    assert result["hits"][0]["snippet"] == result["title"] == parts


async def test_the_snippet_of_a_long_message_shows_what_was_found(api: Api) -> None:
    filler = "Lorem ipsum dolor. " * 500
    await ask(api, f"{filler}A needle. {filler}")

    (text,) = await found(api, "needle")

    assert "[needle]. Lorem" in text
    assert text.startswith("…")
    assert text.endswith("…")
    assert len(text) < 180


# What is found


async def test_a_running_answer_is_found_as_soon_as_it_is_written(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "A county: Nor")
    assert await hits(api, "Norfolk") == []
    await append(api, claimed, 2, "folk.")

    (early,) = await hits(api, "Norfolk")
    await finish(api, claimed, 2)
    (late,) = await hits(api, "Norfolk")

    assert (early["message_id"], early["is_running"]) == (claimed["message_id"], True)
    assert late == early | {"is_running": False}
    assert marked(late["snippet"]) == "A county: [Norfolk]."


async def test_what_a_restarted_answer_had_written_is_not_found(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Norfolk")
    await append(api, claimed, 2, "", kind=2)
    await append(api, claimed, 3, "Suffolk")

    assert (await hits(api, "Norfolk"), await found(api, "Suffolk")) == ([], ["[Suffolk]"])


async def test_thoughts_are_not_found(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Norfolk ", kind=1)
    await append(api, claimed, 2, "Suffolk")
    assert await hits(api, "Norfolk") == []

    await finish(api, claimed, 2)

    assert (await hits(api, "Norfolk"), await found(api, "Suffolk")) == ([], ["[Suffolk]"])


async def test_a_continued_answer_is_found_once_with_its_new_text(api: Api) -> None:
    claimed = await running(api)
    await append(api, claimed, 1, "Norfolk and")
    await finish(api, claimed, 1, "stopped")
    path = f"/chats/{claimed['chat_id']}/messages/{claimed['message_id']}/continue"
    assert (await api.post(path, json={})).is_success
    again = (await claim(api))[claimed["id"]]
    await append(api, again, again["last_seq"] + 1, " Suffolk")

    early = [(hit["is_running"], marked(hit["snippet"])) for hit in await hits(api, "norfolk")]
    await finish(api, again, again["last_seq"] + 1)

    assert early == [(True, "[Norfolk] and Suffolk")]
    assert await found(api, "suffolk") == ["Norfolk and [Suffolk]"]


async def test_a_deleted_chat_is_never_found(api: Api) -> None:
    chat = await new_chat(api)
    await append(api, await running(api, chat), 1, "Norfolk")
    await ask(api, "Suffolk", chat)
    await api.delete(f"/chats/{chat['id']}")

    gone = [(await search(api, q))["results"] for q in ("norfolk", "suffolk", "why", "-x")]
    await api.post(f"/chats/{chat['id']}/restore")

    assert gone == [[]] * 4
    assert len(await hits(api, "suffolk")) == 1


async def test_the_messages_of_a_deleted_chat_do_not_take_the_place_of_others(api: Api, owner: Any) -> None:
    await ask(api, "A needle")
    deleted = await new_chat(api)
    await owner.execute(NEEDLES, UUID(deleted["id"]))
    assert await found(api, "needle") != ["A [needle]"]

    await api.delete(f"/chats/{deleted['id']}")

    assert await found(api, "needle") == ["A [needle]"]


NEEDLES = """
INSERT INTO messages (session_id, chat_id, role, content)
SELECT session_id, id, 'user', 'Many needle' FROM chats, generate_series(1, 1100) WHERE id = $1
"""


async def test_a_deleted_message_is_not_found(api: Api, owner: Any) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat, "Norfolk?", "Suffolk.")

    await api.delete(f"/chats/{chat['id']}/messages/{turn['user']['id']}")

    assert await hits(api, "norfolk") == await hits(api, "suffolk") == []
    assert await owner.fetchval("SELECT count(*) FROM message_words WHERE chat_id = $1", chat["id"]) == 1


async def test_the_words_of_a_text_that_is_replaced_are_not_found(api: Api, owner: Any) -> None:
    message = await ask(api, "Norfolk")

    await owner.execute("UPDATE messages SET content = 'Suffolk' WHERE id = $1", message["id"])
    replaced = await hits(api, "norfolk"), await found(api, "suffolk")
    await owner.execute("UPDATE messages SET content = '' WHERE id = $1", message["id"])

    assert replaced == ([], ["[Suffolk]"])
    assert await hits(api, "suffolk") == []
    assert await owner.fetchval("SELECT count(*) FROM message_words WHERE message_id = $1", message["id"]) == 0


async def test_every_version_is_found(api: Api) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat, "Where?", "Norfolk.")
    shown = await another_answer(api, chat, turn["user"]["id"], "Suffolk.")

    assert [hit["message_id"] for hit in await hits(api, "norfolk")] == [turn["assistant"]["id"]]
    assert [hit["message_id"] for hit in await hits(api, "suffolk")] == [shown]


# Large messages and sessions

DISTINCT_WORDS = "SELECT string_agg(to_hex(n * 7919), ' ') FROM generate_series(1, $1::integer) n"


async def test_a_megabyte_of_words_is_stored_and_searched(api: Api, owner: Any) -> None:
    message = await ask(api, "Why?")
    content = await owner.fetchval(DISTINCT_WORDS, 150_000)
    assert len(content) > 1_000_000

    await owner.execute("UPDATE messages SET content = $2 WHERE id = $1", message["id"], content)

    assert [hit["message_id"] for hit in await hits(api, f"{7919:x} {2 * 7919:x}")] == [message["id"]]


@pytest.mark.parametrize("piece", ["Ⅷ", "ß", "㎯", "北", "\U0010ffff", "a\u0301", "é", "ﷺ", "\U00020bb7"])
async def test_a_megabyte_of_one_character_is_stored(api: Api, owner: Any, piece: str) -> None:
    message = await ask(api, "Why?")

    await owner.execute("UPDATE messages SET content = $2 WHERE id = $1", message["id"], piece * 1_000_000 + " end")

    words_stored = await owner.fetchval("SELECT words::text FROM message_words WHERE message_id = $1", message["id"])
    assert len(words_stored) < 1_000_000
    await search(api, piece)


MANY = """
WITH chat AS (INSERT INTO chats (session_id, username) VALUES ($1, 'Ada') RETURNING id)
INSERT INTO messages (session_id, chat_id, role, content)
SELECT $1, chat.id, 'user', format('common%s no%s %s 北京 the of', CASE WHEN n % 2 = 0 THEN ' even' END, n,
                                   CASE WHEN n % 400 = 0 THEN 'of the rare' ELSE 'rare' END)
  FROM chat, generate_series(1, 1200) n ORDER BY n
"""
FIND = """
SELECT substring(m.content FROM 'no(\\d+)')::integer AS number
  FROM find_messages($1::text::tsquery, 300, $2, '{}') f JOIN messages m ON m.id = f.message_id ORDER BY m.position DESC
"""


@pytest.fixture(scope="module")
async def large_session(cluster: Cluster, database: str) -> AsyncIterator[UUID]:
    """A session with 1,200 messages, older than those of another. With more than 1,000, a search uses the index."""
    owner, session, other = await asyncpg.connect(cluster.owner_url(database)), uuid4(), uuid4()
    await owner.execute("INSERT INTO sessions (id) VALUES ($1), ($2)", session, other)
    for each in (session, other):
        await owner.execute(MANY, each)
    yield session
    await owner.execute("DELETE FROM sessions WHERE id = ANY ($1)", [session, other])
    await owner.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("common", range(1200, 900, -1)),
        ("!even", range(1199, 599, -2)),
        ("北 <-> 京", range(1200, 900, -1)),
        ("no77", [77]),
        ("no119:*", [1199, 1198, 1197, 1196, 1195, 1194, 1193, 1192, 1191, 1190, 119]),
        ("of <-> the <-> rare", [1200, 800, 400]),
        ("no3 | no1100", [1100, 3]),
        ("!(of <-> the)", [number for number in range(1200, 0, -1) if number % 400][:300]),
        ("even & !rare", []),
        ("!common", []),
        ("京 <-> 北", []),
        ("common & nothing", []),
        ("", []),
    ],
)
async def test_a_large_session_is_searched_by_the_index(
    cluster: Cluster, database: str, large_session: UUID, query: str, expected: Sequence[int]
) -> None:
    runtime = await asyncpg.connect(cluster.runtime_url(database))
    try:
        async with runtime.transaction():
            await runtime.fetch("SELECT set_config('app.session_id', $1, true)", str(large_session))
            everything, newest = [
                [row["number"] for row in await runtime.fetch(FIND, query, only_newest)]
                for only_newest in (False, True)
            ]
    finally:
        await runtime.close()

    assert everything == [*expected]
    assert newest == [number for number in expected if number > 200]


async def test_row_security_does_not_keep_a_search_from_the_index(owner: Any, large_session: UUID) -> None:
    await owner.execute("ANALYZE message_words")
    async with owner.transaction():
        await owner.execute("SET LOCAL ROLE runnel_search; SET LOCAL enable_seqscan = off")
        (plan,) = await owner.fetchrow(
            f"EXPLAIN (FORMAT JSON) SELECT message_id FROM message_words WHERE session_id = '{large_session}'"
            " AND words @@ 'no77'::tsquery ORDER BY position DESC LIMIT 300"
        )

    scans = [node for node in nodes(json.loads(plan)[0]["Plan"]) if node.get("Index Name") == "message_words_found"]
    assert all(part in scans[0]["Index Cond"] for part in ("session_id =", "words @@")), plan


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.fixture
async def slow(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Service]:
    """dbapi with a database in which a search of all messages takes 30 s."""
    database = await cluster.new_database()
    owner = await asyncpg.connect(cluster.owner_url(database))
    definition = await owner.fetchval("SELECT pg_get_functiondef('find_messages'::regproc)")
    slowly = "BEGIN\n  IF NOT only_newest THEN PERFORM pg_sleep(30); END IF;\n"
    await owner.execute(definition.replace("BEGIN\n", slowly, 1))
    await owner.close()
    environ = {"DBAPI_DATABASE_URL": cluster.runtime_url(database), "DBAPI_KEYS": DBAPI_KEY} | NO_LIMITS
    dbapi = await Service("dbapi", tmp_path / "log", environ).start()
    yield dbapi
    await dbapi.terminate()


async def test_a_search_that_takes_too_long_finds_what_is_new_and_says_so(slow: Service) -> None:
    async with client(slow.url, headers=CREDENTIAL | {"X-Session-ID": str(uuid4())}) as api:
        message = await ask(api, "Why?")
        answer = await running(api)
        await append(api, answer, 1, "That is why.")

        response = await api.get("/search", params={"q": "why"})

    results = response.json()["results"]
    found_ids = {hit["message_id"] for result in results for hit in result["hits"]}
    assert response.json()["is_complete"] is False
    assert found_ids >= {message["id"], answer["message_id"]}
    assert marked(results[0]["title"]) == "[Why]?"
    assert response.elapsed.total_seconds() < 5


# A hit opens the chat at the message


async def test_a_chat_is_shown_through_a_message_without_changing_it(api: Api) -> None:
    chat = await new_chat(api)
    first = await answered(api, chat, "Where?", "Norfolk.")
    await answered(api, chat, "And then?", "The sea.")
    other = await another_answer(api, chat, first["user"]["id"], "Suffolk.")
    before = (await api.get(f"/chats/{chat['id']}")).json()

    async def shown(message_id: str, query: str = "") -> list[str]:
        page = (await api.get(f"/chats/{chat['id']}?message={message_id}{query}")).json()
        assert page["tip_id"] == before["tip_id"]
        return [message["content"] for message in page["messages"]]

    whole = ["Hello!", "Where?", "Norfolk.", "And then?", "The sea."]
    assert [message["content"] for message in before["messages"]] == ["Hello!", "Where?", "Suffolk."]
    assert await shown(first["assistant"]["id"]) == whole
    assert await shown(first["assistant"]["id"], "&last=1") == whole[2:]
    assert await shown(first["assistant"]["id"], "&last=4") == whole[1:]
    assert await shown(other) == ["Hello!", "Where?", "Suffolk."]
    assert await shown(chat["tip_id"]) == ["Hello!", "Where?", "Suffolk."]
    assert (await api.get(f"/chats/{chat['id']}")).json() == before


async def test_an_unknown_message_of_a_chat_is_not_found(api: Api, clients: Callable[[], Api]) -> None:
    chat, neighbour = await new_chat(api), clients()
    theirs = await new_chat(neighbour)

    async def status(message: str) -> int:
        return (await api.get(f"/chats/{chat['id']}", params={"message": message})).status_code

    unknown = [str(UUID(int=1)), theirs["tip_id"], "x", chat["tip_id"].upper(), f"{chat['tip_id']}x", "\0"]
    assert [await status(message) for message in unknown] == [404] * len(unknown)
    assert [await status(message) for message in ("", chat["tip_id"])] == [200, 200]
