"""Syntax highlighting for code in a known language: a few CSS classes, in one pass over the code.

Pygments does not fit: several of its lexers need seconds for 10 KB of `a a a a`, which models write when they repeat
themselves. Every pattern here consumes what it has examined, so the time is proportional to the length of the code.
"""

import html
import re
import sys
from typing import NamedTuple

from web.rendering.byte_cache import ByteCache

MAX_BLOCK_CHARACTERS = 20_000
MAX_CACHED_BYTES = 8 * 1024 * 1024
CLASSES = frozenset(f"tok-{letter}" for letter in "aciknstfx")

# Each group is named after its CSS class: comment, string, attribute or variable, number, inserted, x for removed.
# `w` is a word: `_kind` chooses its class.
_SLASHES = r"(?P<c>//[^\n]*+|/\*[\s\S]*?(?:\*/|\Z))"
_HASH = r"(?P<c>(?<![\w$&{])\#[^\n]*+)"
_DASHES = r"(?P<c>--[^\n]*+|/\*[\s\S]*?(?:\*/|\Z))"
_DOUBLE = r'(?<!\w)[A-Za-z]{0,2}"(?:[^"\\\n]|\\[\s\S])*+"?'
_SINGLE = r"(?<!\w)[A-Za-z]{0,2}'(?:[^'\\\n]|\\[\s\S])*+'?"
_CHARACTER = r"'(?:[^'\\\n]|\\[^\n][^'\n]{0,8})'"  # any other apostrophe may be a lifetime or a prime
_BACKTICKS = r"`(?:[^`\\]|\\[\s\S])*+`?"
_TRIPLE = r"[A-Za-z]{0,2}(?:\"\"\"[\s\S]*?(?:\"\"\"|\Z)|'''[\s\S]*?(?:'''|\Z))"
_START = r"(?=[\w@$\"'`#;/{-])"  # no token begins with another character; most positions need no closer look
_REST = r"(?P<n>(?<![\w.])\d[\w.]*+)|(?P<w>[@$]?[^\W\d]\w*+)"


class _Language(NamedTuple):
    pattern: re.Pattern[str]
    keywords: frozenset[str] = frozenset()
    key_mark: str = ""  # characters that may follow a key


def _language(comment: str, *strings: str, keywords: str = "", key_mark: str = "") -> _Language:
    pattern = "|".join([comment, f"(?P<s>{'|'.join(strings)})", _REST])
    return _Language(re.compile(f"{_START}(?:{pattern})"), frozenset(keywords.split()), key_mark)


_CURLY = """
    break case catch class const continue default delete do else enum extends false finally for if import in
    instanceof interface new null private protected public return static super switch this throw true try var void
    while
"""
_NATIVE = """
    auto bool char decltype double explicit extern float friend goto inline int long namespace nullptr operator
    override register short signed sizeof struct template typedef typename union unsigned using virtual volatile
    abstract as async await base boolean byte decimal event final foreach get implements internal is lock native
    object out package params readonly ref sealed set string synchronized throws transient when where yield
"""
_SCRIPT = """
    as async await debugger declare export from function get implements is keyof let namespace of readonly set type
    typeof undefined with yield
"""
_MODERN = """
    actual as async await by companion const crate data def defer dyn expect extension fn fallthrough fun func given
    go goto guard impl init inner internal is lazy let loop map match mod move mut nil none object open operator
    override package pub range ref sealed select self some struct suspend then trait type typealias unsafe use val
    when where with yield chan
"""
_PYTHON = """
    and as assert async await break case class continue def del elif else except False finally for from global if
    import in is lambda match None nonlocal not or pass raise return self True try while with yield
"""
_RUBY = """
    alias and begin break case class def defined? defmodule defp do else elsif end ensure false fn for if import in
    module my next nil not or redo require rescue retry return self sub super then true undef unless until use when
    while yield function local repeat NULL TRUE FALSE library
"""
_SHELL = """
    case do done elif else esac export fi for function if in local read return select set shift then trap unset
    until while FROM RUN CMD COPY ADD ENV ARG WORKDIR ENTRYPOINT EXPOSE USER VOLUME HEALTHCHECK LABEL AS server
    location listen begin end foreach param process switch ifeq ifdef ifndef endif include
"""
_SQL = """
    add all alter and any as asc begin between by case cast check column commit constraint create cross database
    default delete desc distinct drop else end exists explain false foreign from full function grant group having if
    in index inner insert into is join key lateral left like limit not null offset on or order outer over partition
    primary references returning revoke right rollback row rows schema select set table then to trigger true
    truncate union unique update using values view when where window with
"""
_CONSTANTS = "true false null yes no on off"
_FUNCTIONAL = """
    as case class data deriving do else if import in infix instance let module newtype of otherwise qualified then
    type where
"""

_NATIVE_LANGUAGE = _language(_SLASHES, _DOUBLE, _CHARACTER, keywords=_CURLY + _NATIVE)
_SCRIPT_LANGUAGE = _language(_SLASHES, _DOUBLE, _SINGLE, _BACKTICKS, keywords=_CURLY + _SCRIPT)
_MODERN_LANGUAGE = _language(_SLASHES, _TRIPLE, _DOUBLE, _CHARACTER, _BACKTICKS, keywords=_CURLY + _MODERN)
_PYTHON_LANGUAGE = _language(_HASH, _TRIPLE, _DOUBLE, _SINGLE, keywords=_PYTHON)
_RUBY_LANGUAGE = _language(_HASH, _DOUBLE, _SINGLE, keywords=_RUBY)
_SHELL_LANGUAGE = _language(_HASH, _DOUBLE, _SINGLE, _BACKTICKS, keywords=_SHELL)
_CONFIGURATION = _language(r"(?P<c>(?<![\w$&])[\#;][^\n]*+)", _DOUBLE, _SINGLE, keywords=_CONSTANTS, key_mark=":=")
_MARKUP = _Language(
    re.compile(
        r"(?P<c><!--[\s\S]*?(?:-->|\Z))|(?P<k></?[A-Za-z][\w:-]*+)|(?P<s>(?<==)(?:\"[^\"]*+\"?|'[^']*+'?))|(?P<w>[A-Za-z][\w:-]*+)"
    ),
    key_mark="=",
)

_GROUPS = {
    "c c++ cpp h c# cs csharp java objective-c objc": _NATIVE_LANGUAGE,
    "javascript js jsx mjs typescript ts tsx": _SCRIPT_LANGUAGE,
    "php": _language(_SLASHES, _DOUBLE, _SINGLE, keywords=_CURLY + _SCRIPT + " echo fn foreach namespace use"),
    "dart go golang kotlin kt rust rs scala swift zig": _MODERN_LANGUAGE,
    "python py python3": _PYTHON_LANGUAGE,
    "ruby rb perl elixir r julia": _RUBY_LANGUAGE,
    "bash sh shell zsh console powershell ps1 docker dockerfile makefile make nginx": _SHELL_LANGUAGE,
    "sql postgresql mysql sqlite": _language(_DASHES, _DOUBLE, _SINGLE, keywords=_SQL + _SQL.upper()),
    "lua": _language(r"(?P<c>--[^\n]*+)", _DOUBLE, _SINGLE, keywords=_RUBY),
    "haskell hs": _language(r"(?P<c>--[^\n]*+|\{-[\s\S]*?(?:-\}|\Z))", _DOUBLE, _CHARACTER, keywords=_FUNCTIONAL),
    "yaml yml toml ini http": _CONFIGURATION,
    "json jsonc": _language(_SLASHES, _DOUBLE, keywords=_CONSTANTS, key_mark=":"),
    "css scss": _language(r"(?P<c>/\*[\s\S]*?(?:\*/|\Z))", _DOUBLE, _SINGLE, key_mark=":"),
    "html xml svg": _MARKUP,
    "diff patch": _Language(re.compile(r"^(?:(?P<i>\+[^\n]*+)|(?P<x>-[^\n]*+)|(?P<a>@@[^\n]*+))", re.MULTILINE)),
}
LANGUAGES = {name: language for names, language in _GROUPS.items() for name in names.split()}

_CODE = re.compile(r'(<pre><code class="language-([a-z0-9+#-]+)">)([^<]*)(?=</code>)')


def add_colours(output: str) -> str:
    """Add spans to the code blocks in `output`. The text of the code does not change."""
    return _CODE.sub(_colour_block, output)


def _colour_block(code: re.Match[str]) -> str:
    start, name, body = code.groups()
    if name not in LANGUAGES or len(body) > MAX_BLOCK_CHARACTERS:
        return code[0]
    return start + _spans(name, body)


_cache: ByteCache[str] = ByteCache(MAX_CACHED_BYTES)


def _spans(name: str, body: str) -> str:
    return _cache.get((name, body), lambda: render_tokens(name, html.unescape(body)))


def render_tokens(name: str, code: str, start: int = 0, end: int = sys.maxsize) -> str:
    """The HTML of the code between two offsets, at which no token is open."""
    language = LANGUAGES[name]
    pieces, at = [], start
    for token in language.pattern.finditer(code, start, end):
        kind = _kind(token, language)
        if kind:
            text = html.escape(token[0], quote=False)
            pieces += [html.escape(code[at : token.start()], quote=False), f'<span class="tok-{kind}">{text}</span>']
            at = token.end()
    return "".join([*pieces, html.escape(code[at:end], quote=False)])


def _kind(token: re.Match[str], language: _Language) -> str | None:
    """The letter of the token's class. The class of a word depends on the character that follows."""
    text, following = token[0], token.string[token.end() : token.end() + 1]
    if token.lastgroup in ("s", "w") and following and following in language.key_mark:
        return "a"
    if token.lastgroup != "w":
        return token.lastgroup
    if text[0] in "@$":
        return "a"
    if text in language.keywords:
        return "k"
    if following == "(":
        return "f"
    return "t" if text[0].isupper() and language.keywords and not language.key_mark else None
