"""Colours for code whose language is named: a few classes, from Pygments."""

import html
import re
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, _TokenType

BLOCK_CHARACTERS = 20_000  # more stays plain: Pygments needs about a second for a megabyte

_NAMES = """
    bash c c# c++ cpp csharp css dart diff docker dockerfile elixir go golang haskell html http ini java javascript js json jsx
    julia kotlin lua makefile nginx objective-c perl php powershell py python python3 r ruby rs rust scala sh shell sql swift
    toml ts tsx typescript xml yaml yml zsh
"""
LANGUAGES = frozenset(_NAMES.split())

_CLASS_OF: dict[_TokenType, str] = {
    Comment: "tok-c",
    Keyword: "tok-k",
    Operator.Word: "tok-k",
    String: "tok-s",
    Number: "tok-n",
    Operator: "tok-o",
    Name.Function: "tok-f",
    Name.Class: "tok-t",
    Name.Builtin: "tok-b",
    Name.Decorator: "tok-d",
    Name.Tag: "tok-k",
    Name.Attribute: "tok-a",
    Generic.Inserted: "tok-i",
    Generic.Deleted: "tok-x",
}
CLASSES = frozenset(_CLASS_OF.values())

_CODE = re.compile(r'(<pre><code class="language-([a-z0-9+#-]+)">)([^<]*)(?=</code>)')


def coloured(output: str) -> str:
    """The HTML with spans in its code blocks; the text stays the same to the byte."""
    return _CODE.sub(_block, output)


def _block(code: re.Match[str]) -> str:
    start, language, body = code.groups()
    if language not in LANGUAGES or len(body) > BLOCK_CHARACTERS:
        return code[0]
    return start + (_spans(language, body) or body)


@lru_cache(maxsize=128)
def _spans(language: str, body: str) -> str | None:
    source = html.unescape(body)
    tokens = [(_class(kind), text) for kind, text in _lexer(language).get_tokens(source)]
    if "".join(text for _, text in tokens) != source:
        return None
    runs = ((name, "".join(text for _, text in run)) for name, run in groupby(tokens, itemgetter(0)))
    return "".join(_span(name, html.escape(text, quote=False)) for name, text in runs)


@lru_cache
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


def _class(kind: _TokenType) -> str | None:
    at: _TokenType | None = kind
    while at is not None and at not in _CLASS_OF:
        at = at.parent
    return None if at is None else _CLASS_OF[at]


def _span(name: str | None, text: str) -> str:
    return f'<span class="{name}">{text}</span>' if name else text
