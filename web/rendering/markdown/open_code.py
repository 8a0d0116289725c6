"""Syntax highlighting of code that still grows: the complete lines have the colours that `colours` gives them.

Only strings and comments continue in the next line. All other tokens of complete lines are final.
"""

import html
import re
from collections import deque
from typing import NamedTuple

from web.rendering.markdown.colours import LANGUAGES, MAX_BLOCK_CHARACTERS, render_tokens
from web.rendering.markdown.rendering import escape

_OPENING = re.compile(r"(?:`{3,}|~{3,})[ \t]*([A-Za-z0-9+#-]+)[ \t\n]")
_DELIMITER = re.compile(r"/\*|<!--|\{-|[A-Za-z]{0,2}(\"\"\"|'''|[\"'`])")


class LexerState(NamedTuple):
    """The state of the lexer after complete lines of code."""

    language: str
    coloured: int  # offset in the text: the end of the final tokens
    kind: str = ""  # the letter of the token that begins there and continues in the next line
    size: int = 0  # of the lines, in characters of HTML without spans


def first_state(opening: str, code_start: int) -> LexerState | None:
    """The state before the first line of code. None if the code has no colours until it ends."""
    info = _OPENING.match(opening)
    name = info[1].lower() if info else ""
    return LexerState(name, code_start) if name in LANGUAGES else None


def next_state(state: LexerState, text: str, start: int, end: int) -> LexerState | None:
    """The state after more complete lines, `text[start:end]`. None if the code has no colours until it ends."""
    lines = text[start:end]
    if state.size + len(lines) > MAX_BLOCK_CHARACTERS or "\r" in lines:
        return None
    size = state.size + len(html.escape(lines, quote=False)) + lines.count('"') * (len("&quot;") - 1)
    if size > MAX_BLOCK_CHARACTERS:
        return None
    coloured, kind = _lex(state, text, start, end)
    return LexerState(state.language, coloured, kind, size)


def render(state: LexerState, text: str, start: int, end: int) -> str:
    """The HTML of the code from `start`, where no token is open. What may still change is in a last span.

    That is the token that continues in the next line, or else the last line, up to `end`.
    """
    tag = f'<span class="tok-{state.kind}">' if state.kind else "<span>"
    return (
        f"{render_tokens(state.language, text, start, state.coloured)}{tag}{escape(text[state.coloured : end])}</span>"
    )


def _lex(state: LexerState, text: str, start: int, end: int) -> tuple[int, str]:
    """The end of the final tokens, and the letter of the token that begins there, if any."""
    source = text[start:end]
    if delimiter := _DELIMITER.match(text, state.coloured) if state.kind else None:
        # Lexing the open token again from its start would take quadratic time, so its delimiter stands for it. In
        # markup, strings begin after an equals sign only. The space keeps a quotation mark apart from following ones.
        source = f"={delimiter[1] or delimiter[0]} {source}"
    offset = end - len(source)
    last = deque(LANGUAGES[state.language].pattern.finditer(source, 1 if delimiter else 0), maxlen=1)
    if not last or last[0].end() < len(source):
        return end, ""
    if offset + last[0].start() < start:
        return state.coloured, state.kind
    return offset + last[0].start(), last[0].lastgroup or ""
