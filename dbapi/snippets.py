"""The part of a text around the words that were searched for, with these marked. As data: it contains no markup.

Words are compared without case and diacritics. Whatever the text, a snippet takes time that is linear in its length.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from dbapi.search_query import IGNORED, MAX_WORDS, SINGLE, Clause

SNIPPET_CODE_POINTS = 160
BEFORE_CODE_POINTS = 60  # of a snippet, at most, before the first word that was searched for
MAX_MATCH_CODE_POINTS = 240  # of a snippet, for a phrase that is longer
MAX_CODE_POINTS = 1_000_000  # that one highlighter searches; later texts are cut
MAX_PATTERNS = 2  # that are searched for in a whole text
MAX_FIRST_WORDS = 4  # of each: a text may contain the beginning of a long phrase everywhere
MAX_FOLDED = 20_000  # characters whose folding is kept
MAX_FOLDING = 4  # code points for one
MAX_GAP = 100  # characters between two words of a phrase
_STEP = 1000

_MARKS = "\u0900-\u0963\u0966-\u0dff"  # the scripts of India, with the vowel signs, which are no letters to Python
# A letter and a gap have no character in common, so patterns of many words take linear time.
_LETTER = rf"(?:[^\W_{SINGLE}]|[{_MARKS}])"
_GAP = rf"(?:[^\w{SINGLE}{_MARKS}]|_)"
_WORD = re.compile(rf"[{SINGLE}]|{_LETTER}+")
_IS_SINGLE = re.compile(f"[{SINGLE}]")
# Of headings, emphasis and code blocks, in which no word is found
_MARKDOWN = re.compile(r"(?<=\n)#{1,6}\s|\*\*+|```+|~~~+")
_IGNORED = re.compile(f"[{IGNORED}]+")
# Letters that Unicode does not decompose, as in PostgreSQL's unaccent
_UNDECOMPOSED = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i", "ŋ": "n", "ŧ": "t"}
)


@dataclass(frozen=True)
class Part:
    text: str
    is_match: bool


class Highlighter:
    """Marks what these clauses find. One highlighter is for the results of one search."""

    def __init__(self, clauses: Sequence[Clause]) -> None:
        patterns = {_pattern(clause): clause for clause in clauses if not clause.is_excluded}
        longest_first = sorted(filter(None, patterns), key=len, reverse=True)
        longest = [patterns[pattern] for pattern in longest_first[:MAX_PATTERNS]]
        self._beginnings = [re.compile(_pattern(clause, MAX_FIRST_WORDS)) for clause in longest]
        self._any = re.compile("|".join(longest_first)) if longest_first else None
        self._left = MAX_CODE_POINTS

    def mark(self, text: str) -> list[Part]:
        """The whole text."""
        parts: list[Part] = []
        end = 0
        for start, stop in self._matches(text):
            parts += [Part(text[end:start], False), Part(text[start:stop], True)]
            end = stop
        return [part for part in [*parts, Part(text[end:], False)] if part.text]

    def snippet(self, text: str) -> list[Part]:
        """About SNIPPET_CODE_POINTS characters around the longest clause, or the beginning if it is not found."""
        start, end = _window(text, *self._first(text))
        beginning = [] if start else [Part("\n", False)]  # of a line
        parts = _in_one_line(_joined([*beginning, *self.mark(text[start:end])]))
        before, after = "…" if start else "", "…" if end < len(text) else ""
        return _joined([Part(before, False), *parts, Part(after, False)])

    def _first(self, text: str) -> tuple[int, int]:
        text = text[: self._left]
        self._left -= len(text)
        folded = fold(text)
        for pattern in self._beginnings:
            if match := pattern.search(folded):
                return _index(text, match.start()), _index(text, match.end() - 1) + 1
        return 0, 0

    def _matches(self, text: str) -> Iterator[tuple[int, int]]:
        """Of a short text."""
        if self._any is None:
            return
        offsets = list(accumulate((len(fold(character)) for character in text), initial=0))
        end = 0
        for match in self._any.finditer(fold(text)):
            start = max(end, bisect_right(offsets, match.start()) - 1)
            # With all of its last character, and with the ignored ones that follow
            end = max(bisect_left(offsets, match.end()), bisect_right(offsets, match.end()) - 1)
            if start < end:
                yield start, end


class _Foldings(dict[int, str]):
    """The folding of each character, by code point. That of an ignored one is empty."""

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        plain = _IGNORED.sub("", unicodedata.normalize("NFKD", character.casefold()))
        folded = unicodedata.normalize("NFC", plain).translate(_UNDECOMPOSED)
        if len(folded) > MAX_FOLDING:
            folded = character
        if len(self) < MAX_FOLDED:
            self[code_point] = folded
        return folded


_foldings = _Foldings()


def fold(text: str) -> str:
    """Without case and ignored characters, character by character: the foldings of two texts are that of their sum."""
    return text.lower() if text.isascii() else text.translate(_foldings)


def _pattern(clause: Clause, most: int = MAX_WORDS) -> str:
    """A regular expression for folded text, for at most this number of words. "" if the clause has no word."""
    every: list[str] = _WORD.findall(fold(" ".join(clause.words)))
    words = every[:most]
    if not words:
        return ""
    pattern = re.escape(words[0])
    for before, word in pairwise(words):
        least = 0 if _is_single(before) or _is_single(word) else 1
        pattern += f"{_GAP}{{{least},{MAX_GAP}}}{re.escape(word)}"
    start = "" if _is_single(words[0]) else f"(?<!{_LETTER})"
    is_prefix = clause.is_prefix and words == every
    end = "" if is_prefix or _is_single(words[-1]) else f"(?!{_LETTER})"
    return start + pattern + end


def _is_single(word: str) -> bool:
    return bool(_IS_SINGLE.match(word))


def _index(text: str, position: int) -> int:
    """The index of the character that became this position of the folded text."""
    if text.isascii():
        return position
    start = 0
    while (length := len(fold(text[start : start + _STEP]))) <= position:
        start, position = start + _STEP, position - length
    offsets = list(accumulate((len(fold(character)) for character in text[start : start + _STEP]), initial=0))
    return start + bisect_right(offsets, position) - 1


def _window(text: str, first: int, last: int) -> tuple[int, int]:
    """A part of the text around these characters, if possible from one white space to another."""
    start = max(0, first - BEFORE_CODE_POINTS)
    if start and (space := re.search(r"\s", text[start:first])):
        start += space.end()
    end = max(start + SNIPPET_CODE_POINTS, min(last, first + MAX_MATCH_CODE_POINTS))
    if end < len(text) and (space := re.search(r"\s\S*\Z", text[last:end])):
        end = last + space.start()
    return start, min(end, len(text))


def _in_one_line(parts: Sequence[Part]) -> list[Part]:
    """As plain text."""
    plain = (Part(re.sub(r"\s+", " ", _MARKDOWN.sub("", part.text)), part.is_match) for part in parts)
    line = [part for part in plain if part.text]
    if line:
        line[0] = Part(line[0].text.lstrip(), line[0].is_match)
        line[-1] = Part(line[-1].text.rstrip(), line[-1].is_match)
    return line


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Without empty parts, and without two adjacent ones that could be one."""
    joined: list[Part] = []
    for part in filter(lambda part: part.text, parts):
        if joined and joined[-1].is_match == part.is_match:
            part = Part(joined.pop().text + part.text, part.is_match)
        joined.append(part)
    return joined
