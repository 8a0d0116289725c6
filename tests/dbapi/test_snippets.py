"""Snippets show what was found where it is, for every script, and take little time for any text."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbapi.search_query import parse
from dbapi.snippets import MAX_MATCH_CODE_POINTS, SNIPPET_CODE_POINTS, Highlighter, Part, fold
from tests.dbapi.calls import marked

FILLER = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. " * 20
LONG = 50_000
PIECES = ["ab", "Ab", "ß", "é", "e\u0301", "\u0301", "北", "京", "ไ", "ท", "ั", "한", "が", "ﬁ", "İ", "ŉ", "ﷺ", "ा", "क"]
PIECES += [" ", "  ", "\n", ".", "_", "-", '"', "*", "—", "🙂", "<b>", "&amp;", "word " * 60, "x" * 300, "北" * 200]
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text()


def mark(text: str, typed: str, is_typing: bool = False) -> str:
    return _marked(Highlighter(parse(typed, is_typing)).mark(text))


def snippet(text: str, typed: str) -> str:
    return _marked(Highlighter(parse(typed)).snippet(text))


def _marked(parts: list[Part]) -> str:
    return marked([vars(part) for part in parts])


@pytest.mark.parametrize(
    ("text", "typed", "expected"),
    [
        ("A cat, a CAT and cats.", "cat", "A [cat], a [CAT] and cats."),
        ("concatenate", "cat", "concatenate"),
        ("tomcat", "cat", "tomcat"),
        ("Wör\u00adter\u200b!", "wörter", "[Wör\u00adter\u200b]!"),
        ("مَرْحَبًا", "مرحبا", "[مَرْحَبًا]"),
        ("A category of cats", "cat*", "A [cat]egory of [cat]s"),
        ("snake_case and case", "case", "snake_[case] and [case]"),
        ("in web/messages.py", "web/messages.py", "in [web/messages.py]"),
        ("in web/messages.py", "messages", "in web/[messages].py"),
        ("one two three", '"one two"', "[one two] three"),
        ("one,\n two; two one", '"one two"', "[one,\n two]; two one"),
        ("one two", "two one", "[one] [two]"),
        ("one two", "one -two", "[one] two"),
        ("don’t", "don't", "[don’t]"),
        ("Äpfel und BÄREN", "apfel bären", "[Äpfel] und [BÄREN]"),
        ("A\u0308pfel", "äpfel", "[A\u0308pfel]"),
        ("Straße, STRASSE", "strasse", "[Straße], [STRASSE]"),
        ("Łódź, København", "lodz kobenhavn", "[Łódź], [København]"),
        ("İstanbul", "istanbul", "[İstanbul]"),
        ("Съешь ещё", "еще", "Съешь [ещё]"),
        ("Ο λόγος, ΛΟΓΟΣ", "λόγος", "Ο [λόγος], [ΛΟΓΟΣ]"),
        ("مرحبا بالعالم", "بالعالم", "مرحبا [بالعالم]"),
        ("नमस्ते दुनिया", "दुनिया", "नमस्ते [दुनिया]"),
        ("काम कम", "कम", "काम [कम]"),
        ("今天北京的天气", "北京", "今天[北京]的天气"),
        ("今天北 京", "北京", "今天[北 京]"),
        ("京北", "北京", "京北"),
        ("東京タワーへ", "タワー", "東京[タワー]へ"),
        ("서울에서", "서울", "[서울]에서"),
        ("한국", "하", "한국"),
        ("สวัสดีชาวโลก", "โลก", "สวัสดีชาว[โลก]"),
        ("用Python写", "python", "用[Python]写"),
        ("ﬁne", "fine", "[ﬁne]"),
        ("", "one", ""),
        ("one", "-one", "one"),
    ],
)
def test_what_was_found_is_marked(text: str, typed: str, expected: str) -> None:
    assert mark(text, typed) == expected


def test_while_it_is_typed_the_beginning_of_a_word_is_marked() -> None:
    assert mark("A category", "cat", is_typing=True) == "A [cat]egory"
    assert mark("北京市", "北京", is_typing=True) == "[北京]市"


def test_a_snippet_shows_the_words_around_the_longest_one() -> None:
    text = f"The beginning.\n\n{FILLER}the\n    needle, here {FILLER}"

    found = snippet(text, "the needle")

    assert "[the] [needle], here Lorem" in found
    assert found.startswith("…")
    assert found.endswith("…")
    assert not found.startswith("… ")
    assert 100 < len(found) <= SNIPPET_CODE_POINTS + 10
    assert all(word in FILLER.split() for word in found.strip("…").split()[:5])


def test_a_short_text_is_shown_as_a_whole_and_in_one_line() -> None:
    assert snippet(" One\n\ttwo ", "two") == "One [two]"


def test_a_snippet_is_without_headings_emphasis_and_fences() -> None:
    text = "# C# is\n## **Not** C\n```python\nx = 2 * y # times\n```\nand *this* is `code`"

    assert snippet(text, "this") == "C# is Not C python x = 2 * y # times and *[this]* is `code`"
    assert snippet(text, '"not C"') == "C# is [Not C] python x = 2 * y # times and *this* is `code`"


def test_what_is_not_found_shows_the_beginning() -> None:
    assert snippet(FILLER, "-needle").startswith("Lorem ipsum")
    assert snippet(FILLER, "needle").startswith("Lorem ipsum")
    assert snippet("", "needle") == ""


def test_a_text_without_spaces_is_cut_anywhere() -> None:
    found = snippet(f"{'天' * 500}北京{'天' * 500}", "北京")

    assert found == f"…{'天' * 60}[北京]{'天' * 98}…"


def without_marks(text: str) -> str:
    return "".join(character for character in text if character not in "#*`~ ")


@given(texts, texts, st.booleans())
def test_marks_add_and_remove_nothing(text: str, typed: str, is_typing: bool) -> None:
    highlighter = Highlighter(parse(typed, is_typing))

    parts = highlighter.mark(text)
    shown = highlighter.snippet(text)

    assert "".join(part.text for part in parts) == text
    assert all(part.text for part in [*parts, *shown])
    words = without_marks(" ".join(text.split()))
    assert without_marks("".join(part.text for part in shown).strip("…")) in words or "…" in text
    assert sum(len(part.text) for part in shown) <= SNIPPET_CODE_POINTS + MAX_MATCH_CODE_POINTS + 2
    assert all(before.is_match != after.is_match for before, after in pairwise(shown))


@given(texts.filter(lambda text: any(character.isalnum() for character in text)))
def test_a_text_is_found_in_itself(text: str) -> None:
    clauses = [clause for clause in parse(text) if not clause.is_excluded]

    for clause in clauses:
        parts = Highlighter([clause]).mark(text)

        has_letters = any(character.isalnum() for character in fold("".join(clause.words)))
        assert any(part.is_match for part in parts) or not has_letters


@pytest.mark.parametrize(
    ("piece", "typed"),
    [
        ("word ", "needle"),
        ("wörter ", "nädel"),
        ("a", "aa"),
        ("a ", '"a a b"'),
        ("天", "天天天地"),
        ("ั", "กั" * 16),
        ("ा", "ा " * 32),
        ("ा", f'"{"ा " * 20}क"'),
        ("ั", f'"{"ั " * 20}ก"'),
        ("\u0301", "e\u0301"),
        ("a ", f'"{"a " * 31}b"'),
        ("_", '"a b"'),
        ("a_", '"a a a a a a a a b"'),
        ("ﷺ", "needle"),
        ("\U0010ffff", "needle"),
        ("ß", "s*"),
    ],
)
def test_twenty_long_texts_take_little_time(piece: str, typed: str) -> None:
    text = (piece * LONG)[:LONG]
    highlighter, longest = Highlighter(parse(typed)), 0.0

    started = time.process_time()
    for _ in range(20):
        before = time.process_time()
        highlighter.snippet(text + typed)
        longest = max(longest, time.process_time() - before)

    assert time.process_time() - started < 2
    assert longest < 0.2
