"""What a user typed becomes clauses, whatever it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbapi.search_query import MAX_WORD_CODE_POINTS, MAX_WORDS, parse, tsquery, words

SAFE = re.compile(r"[^\s!-/:-@\[-`{-~]+")  # a word without ASCII punctuation
OPERATORS = re.compile(r"'([^']*)'|:\*|<->|[!&()]|\s")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("one two", "('one') & ('two')"),
        ('"one two" three', "('one two') & ('three')"),
        ("“one two” „three four“", "('one two') & ('three four')"),
        ("one -two", "('one') & !('two')"),
        ('-"one two"', "!('one two')"),
        ('"one" -two', "('one') & !('two')"),
        ("one-two", "('one two')"),
        ("--help", "('help')"),
        ("one - two", "('one') & ('two')"),
        ("pre* one", "('pre':*) & ('one')"),
        ("p*", "('p':*)"),
        ("-pre*", "!('pre':*)"),
        ('"one tw*"', "('one' <-> 'tw':*)"),
        ("web/messages.py", "('web messages py')"),
        ("v1.2.3", "('v1 2 3')"),
        ("snake_case", "('snake case')"),
        ("ada@example.org", "('ada example org')"),
        ("北京", "('北 京')"),
        ("Python是", "('Python 是')"),
        ("ไทย", "('ไ ท ย')"),
        ("cafe\u0301", "('cafe')"),
        ("λόγος", "('λόγοσ')"),
        ('"one two', "('one two')"),
        ('one"two', "('one') & ('two')"),
        ('"" one ""', "('one')"),
        ("one two one", "('one') & ('two')"),
        ("'; DROP TABLE chats; --", "('DROP') & ('TABLE') & ('chats')"),
    ],
)
def test_words_phrases_exclusions_and_prefixes(typed: str, expected: str) -> None:
    assert tsquery(parse(typed)) == expected


@pytest.mark.parametrize("typed", ["", " \n", '"', '""', "-", "--", '-"', "*", "\\ ' & | ! ( ) : <->", "_" * 99])
def test_a_text_without_words_has_no_clauses(typed: str) -> None:
    assert parse(typed) == parse(typed, is_typing=True) == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("one tw", "('one') & ('tw':*)"),
        ("one t", "('one') & ('t')"),
        ("one tw ", "('one') & ('tw':*)"),
        ('"one tw', "('one' <-> 'tw':*)"),
        ('"one t', "('one t')"),
        ('"one two"', "('one two')"),
        ("one -tw", "('one') & !('tw')"),
        ("one -", "('one':*)"),
        ("web/m", "('web' <-> 'm':*)"),
        ("北京", "('北 京')"),
        ("ab*", "('ab':*)"),
    ],
)
def test_the_last_word_may_be_a_prefix_while_it_is_typed(typed: str, expected: str) -> None:
    assert tsquery(parse(typed, is_typing=True)) == expected


def test_only_the_first_words_of_a_long_text_count() -> None:
    (clause,) = parse("北" * 10_000, is_typing=True)
    clauses = parse(" ".join(f"ab{number}" for number in range(5000)), is_typing=True)

    assert len(clause.words) == len(clauses) == MAX_WORDS
    assert not any(each.is_prefix for each in clauses)


def test_long_words_are_divided() -> None:
    most = MAX_WORD_CODE_POINTS

    assert [len(word) for word in words(f"{'x' * (2 * most + 9)} y")] == [most, most, 9, 1]


@given(st.text() | st.lists(st.sampled_from(['"', "-", "*", " ", "ab", "北", "'", "\\", ":", "é", "—"])).map("".join))
def test_any_text_becomes_a_well_formed_query(typed: str) -> None:
    for is_typing in (False, True):
        clauses = parse(typed, is_typing)

        assert OPERATORS.sub("", tsquery(clauses)) == ""
        assert all(SAFE.fullmatch(word) for clause in clauses for word in clause.words)
        assert sum(len(clause.words) for clause in clauses) <= MAX_WORDS
