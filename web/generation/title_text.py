"""The title in what a model wrote when it was asked for one."""

import re

from kit.text import is_blank

MAX_CODE_POINTS = 80
MAX_LINE = 300  # characters of a line that are read
_LIST_OR_HEADING = re.compile(r"^(?:#{1,6}\s+|[>*+-]\s+|\d{1,2}[.)]\s+)+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS = re.compile(r"(\*{1,3}|`{1,3}|~~)(?=\S)(.+?)(?<=\S)\1")
_UNDERSCORES = re.compile(r"(?<!\w)(_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)")
_LABEL = re.compile(
    r"(?:chat |conversation )?(?:title|titel|titre|título|titolo|заголовок|标题|標題|タイトル)\s*[:\uff1a]",
    re.IGNORECASE,
)
_ODD = re.compile(r"</?think|<\||\|>|^[\[{]|[:\uff1a]$", re.IGNORECASE)
JOINERS = "\u200c\u200d"  # invisible, but a part of words and emoji
QUOTES = "\"'“”„‟‘’‚‛«»‹›「」『』《》〈〉"


def title_in(reply: str, *, is_cut_off: bool = False) -> str:
    """The title in a model's reply, or an empty string if there is none that can be used.

    Models add quotes, Markdown, a label or a sentence before the title, although they are asked not to.
    """
    lines = [line for line in map(_plain, reply.splitlines()) if not is_blank(line)]
    if len(lines) > 1 and lines[0].endswith((":", "\uff1a")):
        del lines[0]
    if not lines or (is_cut_off and len(lines) == 1):
        return ""
    title = lines[0]
    is_odd = _ODD.search(title) or not any(character.isalnum() for character in title)
    return "" if is_odd else _short(title)


def _plain(line: str) -> str:
    """A line without Markdown, label, quotes, final full stop and invisible characters."""
    line = "".join(each if each.isprintable() or each in JOINERS else " " for each in line[:MAX_LINE])
    line = _LINK.sub(r"\1", _LIST_OR_HEADING.sub("", line.strip()))
    line = _UNDERSCORES.sub(r"\2", _EMPHASIS.sub(r"\2", line)).strip("*` ")
    line = _unquoted(line)
    label = _LABEL.match(line)
    line = _unquoted(line[label.end() :]) if label else line
    line = " ".join(line.split())
    return line[:-1] if line.endswith(".") and not line.endswith("..") else line


def _unquoted(line: str) -> str:
    """Without quotation marks around the whole line."""
    inner = line.strip().rstrip(".")
    is_quoted = len(inner) > 1 and inner[0] in QUOTES and inner[-1] in QUOTES and inner[0] not in inner[1:-1]
    return inner[1:-1].strip() if is_quoted else line.strip()


def _short(title: str) -> str:
    """At most MAX_CODE_POINTS characters, cut after a word where there are words."""
    if len(title) <= MAX_CODE_POINTS:
        return title
    cut = title[: MAX_CODE_POINTS - 1]
    return (cut[: cut.rfind(" ")] if " " in cut[MAX_CODE_POINTS // 2 :] else cut).rstrip() + "…"
