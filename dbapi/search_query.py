"""What a user typed to search for, as clauses: words, "phrases", -exclusions and prefixes*.

The rules for words are those of `words_of` in alembic/schema.sql. Both must be changed together, with all stored words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_CODE_POINTS = 10_000
MAX_WORDS = 32  # more of them make no difference, but each costs time
MIN_PREFIX_LETTERS = 2  # of a word that is being typed

# Characters of scripts without spaces, in a character class: Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean.
# Each is a word of its own.
SINGLE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"
)

# Characters that make no difference, in a character class: soft hyphens, diacritics, vowel points of Hebrew and Arabic,
# joiners, marks of direction, variation selectors.
IGNORED = (
    "\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
)

_IGNORED = re.compile(f"[{IGNORED}]+")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]+")
_SINGLE = re.compile(f"([{SINGLE}])")
_PLAIN = re.compile("[A-Za-z][A-Za-z0-9]{0,99}|[0-9]{1,100}")
_QUOTES = str.maketrans("“”„", '"""')
_PART = re.compile(r'(?P<minus>(?<!\S)-(?=[^\s-]))?(?:"(?P<phrase>[^"]*)(?P<end>"?)|(?P<word>[^\s"]+))')


@dataclass(frozen=True)
class Clause:
    """Words that follow each other."""

    words: tuple[str, ...]
    is_prefix: bool = False  # of the last word
    is_excluded: bool = False

    @property
    def tsquery(self) -> str:
        """For to_tsquery. The words contain no ASCII punctuation, so none needs to be escaped.

        Words within quotes follow each other. A word without letters, such as a dash, leaves no gap between them.
        """
        *before, last = self.words
        if self.is_prefix:
            phrase = f"'{' '.join(before)}' <-> '{last}':*" if before else f"'{last}':*"
        else:
            phrase = f"'{' '.join(self.words)}'"
        return f"!({phrase})" if self.is_excluded else f"({phrase})"


def parse(text: str, is_typing: bool = False) -> list[Clause]:
    """All of which a message must fulfil. Any text is a query; its first MAX_WORDS words count.

    A part without spaces, such as a path, is a phrase. If the user is typing, the last word may be a prefix.
    """
    parts = [(part, words(_text(part))) for part in _PART.finditer(text[:MAX_CODE_POINTS].translate(_QUOTES))]
    parts = [(part, found) for part, found in parts if found]
    clauses: list[Clause] = []
    left = MAX_WORDS
    for number, (part, found) in enumerate(parts, 1):
        is_typed = is_typing and number == len(parts) and _may_be_typed(part)
        is_prefix = (is_typed or _text(part).endswith("*")) and len(found) <= left and not _SINGLE.match(found[-1])
        clauses.append(Clause(tuple(found[:left]), is_prefix, part["minus"] is not None))
        left -= len(found)
        if left <= 0:
            break
    return list(dict.fromkeys(clauses))


def tsquery(clauses: Sequence[Clause]) -> str:
    return " & ".join(clause.tsquery for clause in clauses)


def plain_words(clauses: Sequence[Clause]) -> list[str]:
    """Words that an ASCII text contains if it fulfils the clauses: the required ones that only have one spelling."""
    required = [word for clause in clauses if not clause.is_excluded for word in clause.words]
    return [word for word in required if _PLAIN.fullmatch(word)]


def words(text: str) -> list[str]:
    """A word may still contain punctuation other than ASCII, at which PostgreSQL divides it."""
    plain = _PUNCTUATION.sub(" ", _IGNORED.sub("", text.replace("ς", "σ")))
    return _SINGLE.sub(r" \1 ", plain).split()


def _text(part: re.Match[str]) -> str:
    return part["word"] if part["phrase"] is None else part["phrase"]


def _may_be_typed(part: re.Match[str]) -> bool:
    """Excluding every word that begins like an unfinished one would hide too much."""
    if part["end"] or part["minus"] is not None:
        return False
    *_, last = _text(part).split()
    return sum(character.isalnum() for character in last) >= MIN_PREFIX_LETTERS
