"""The way of a text to safe HTML: comrak, links, colours, and nh3 last."""

import html
import re
from collections import Counter

import nh3

from web.markdown import limits, parser
from web.markdown.colours import CLASSES, coloured

_LINK = re.compile(r"(?:https?://(?![^/?#\\]*@)[^\s/?#\\]|mailto:[^\s])", re.IGNORECASE)
_FOOTNOTE = re.compile(r"#?[A-Za-z0-9-]*fn(?:ref)?-[A-Za-z0-9%_.~-]{1,200}")
_LANGUAGE = re.compile(r"language-[a-z0-9+#-]{1,20}")
_BACK = re.compile(r"Back to reference [0-9-]{1,20}")


def render(text: str, prefix: str = "", *, colours: bool = True) -> str:
    """`text` as safe HTML, each top-level block ending in one newline; never raises.

    `prefix` stands before the ids of footnotes, so that they are unique on a page.
    What is beyond `limits` comes back whole, as plain text in `<pre class="plain">`.
    """
    if not text.strip(" \t\r\n"):
        return ""
    try:
        output = _parsed(text)
        return plain(text) if output is None else _safe(output, prefix, colours)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in Rust is no Exception
        return plain(text)


def is_plain(text: str) -> bool:
    """Whether `render` gives up on the text and shows it as it was written."""
    try:
        return _parsed(text) is None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return True


def plain(text: str) -> str:
    # HTML parsers drop a newline after <pre>, so there has to be one that is not the text's.
    return f'<pre class="plain">\n{escape(text)}</pre>\n'


def escape(text: str) -> str:
    """Text for between tags, with the line ends an HTML parser would make of it."""
    return html.escape(parser.unix(text), quote=False)


def _parsed(text: str) -> str | None:
    text = parser.unix(text)
    if limits.too_long(text) or limits.first_excess(text) < len(text):
        return None
    text = _with_all_blocks(text)
    output = parser.to_html(text)
    if hidden := _hidden(text, output):
        output = parser.to_html(_edited(text, [(at, at, "\\") for at in hidden]))
    return None if limits.too_much(output, text) else output


def _safe(output: str, prefix: str, colours: bool) -> str:
    output = _CODE.sub(_language, _with_our_links(output, prefix))
    return _CLEANER.clean(coloured(output) if colours else output)


# What comrak would swallow: cells beyond a table's last column, and definitions that nothing refers to.
# And it leaves HTML blocks without an element.

_HTML = re.compile(r"^ {0,3}<", re.MULTILINE)
_DELIMITER_ROW = re.compile(r"^[|:\- \t]*+$", re.MULTILINE)
_PIPE = re.compile(r"(?<!\\)\|")
_LITERAL = "=html"  # no language is called so, see _LANGUAGE
_DEFINITION = re.compile(
    r"^[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t>]++)*(?=\[([^\[\]]{1,999})\]:[ \t]*+\n?[ \t>]*+<?([^\s<>]*))", re.MULTILINE
)
_LABEL = re.compile(r"\[([^\[\]]{1,999})\]")


def _with_all_blocks(text: str) -> str:
    if not _HTML.search(text) and not _may_overflow(text):
        return text
    starts = parser.line_starts(text)
    edits: list[tuple[int, int, str]] = []
    for block in parser.blocks(text):
        if block.kind == "html_block":
            start, end = starts[block.first], starts[block.last + 1]
            edits.append((start, end, _fenced(text[start:end])))
        elif block.kind == "table":
            header, _, *rows = zip(starts[block.first :], starts[block.first + 1 : block.last + 2], strict=False)
            columns = len(_inner_pipes(text, *header))
            surplus = (pipe for row in rows for pipe in _inner_pipes(text, *row)[columns:])
            edits += [(pipe, pipe, "\\") for pipe in surplus]
    return _edited(text, edits)


def _may_overflow(text: str) -> bool:
    """Whether a row may have more cells than a table has columns."""
    widths = {len(_inner_pipes(text, *row.span())) for row in _DELIMITER_ROW.finditer(text) if "|" in row[0]}
    return any(re.search(rf"^[ \t>]*+\|?+(?:[^|\n]*+\|){{{width + 1}}}[ \t]*+\S", text, re.MULTILINE) for width in widths)


def _hidden(text: str, output: str) -> list[int]:
    """The offsets of definitions to be shown as typed. Where footnotes don't add up for another reason, all of them."""
    if "]:" not in text:
        return []
    definitions = list(_DEFINITION.finditer(text))
    uses = Counter(_LABEL.findall(text.casefold()))
    uses.subtract(definition[1].casefold() for definition in definitions)
    unused = [definition for definition in definitions if not _is_used(definition, uses)]
    hidden = [definition.end() for definition in unused if html.escape(f"[{definition[1]}]:") not in output]
    notes = parser.footnotes(text) if "[^" in text else []
    shown = output.count('<li id="fn-') + len({*hidden} & {*notes})
    return sorted({*hidden, *notes}) if shown < len(notes) else hidden


def _is_used(definition: re.Match[str], uses: Counter[str]) -> bool:
    """Whether something refers to the definition, and it would give a link."""
    label, target = definition[1], definition[2]
    return uses[label.casefold()] > 0 and (label.startswith("^") or _LINK.match(target) is not None)


def _inner_pipes(text: str, start: int, end: int) -> list[int]:
    """Where the cells of a table's row are separated."""
    pipes = [pipe.start() for pipe in _PIPE.finditer(text, start, end)]
    if pipes and not text[pipes[-1] + 1 : end].strip():
        pipes.pop()
    return pipes[1:] if pipes and not text[start : pipes[0]].strip() else pipes


def _fenced(block: str) -> str:
    fence = "~" * max(3, 1 + max(map(len, re.findall("~+", block)), default=0))
    return f"{fence}{_LITERAL}\n{block.rstrip()}\n{fence}\n"


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    pieces, at = [], 0
    for start, end, instead in edits:
        pieces += [text[at:start], instead]
        at = end
    return "".join([*pieces, text[at:]])


# comrak escapes quotes and angle brackets in text and attributes, so these patterns meet its own tags only.

_ANCHOR = re.compile(r'<a href="([^"]*)"([^>]*)>|(</a>)|<img src="([^"]*)" alt="([^"]*)"[^>]*>|<li id="(fn-[^"]*)">')
_CODE = re.compile(r'<pre><code class="language-([^"]*)">')


def _with_our_links(output: str, prefix: str) -> str:
    """Links to web and mail only, images as links, footnotes with the prefix."""
    if "<a " not in output and "<img " not in output:
        return output
    kept: list[bool] = []

    def rewrite(tag: re.Match[str]) -> str:
        href, rest, end, src, alt, note = tag.groups()
        if end:
            return end if kept.pop() else ""
        if note:
            return f'<li id="{prefix}{note}">'
        if src is not None:
            return _link(src, alt or src) if not any(kept) else alt or src
        if any(kept):
            kept.append(False)
            return ""
        if href.startswith("#fn") and rest.startswith((" id=", " class=")):
            kept.append(True)
            rest = rest.replace(' id="', f' id="{prefix}')
            return f'<a href="#{prefix}{href[1:]}"{rest}>'
        kept.append(_is_link(href))
        return f'<a href="{href}" target="_blank">' if kept[-1] else ""

    return _ANCHOR.sub(rewrite, output)


def _link(href: str, label: str) -> str:
    return f'<a href="{href}" target="_blank">{label}</a>' if _is_link(href) else label


def _is_link(href: str) -> bool:
    return _LINK.match(html.unescape(href)) is not None


def _language(code: re.Match[str]) -> str:
    name = html.unescape(code[1]).lower()
    if name == _LITERAL:
        return '<pre class="plain"><code>'
    known = _LANGUAGE.fullmatch(f"language-{name}")
    return f'<pre><code class="{known[0]}">' if known else "<pre><code>"


# The barrier: whatever went wrong above, only this gets through.


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if _LINK.match(value) or (value[:1] == "#" and _FOOTNOTE.fullmatch(value)) else None
    if name == "id":
        return value if _FOOTNOTE.fullmatch(value) else None
    if name == "class" and tag == "code":
        return value if _LANGUAGE.fullmatch(value) else None
    if name == "aria-label":
        return value if _BACK.fullmatch(value) else None
    return value


_TAGS = """
    p br hr h1 h2 h3 h4 h5 h6 em strong del a sup ul ol li input blockquote section pre code span table thead tbody tr th td
"""

_CLEANER = nh3.Cleaner(
    tags=set(_TAGS.split()),
    attributes={
        "*": set(),  # without it nh3 allows title and lang everywhere
        "a": {"href", "id", "aria-label"},
        "code": {"class"},
        "input": {"checked", "disabled"},
        "li": {"id"},
        "ol": {"start"},
    },
    tag_attribute_values={
        "a": {"class": {"footnote-backref"}, "target": {"_blank"}},
        "input": {"type": {"checkbox"}},
        "pre": {"class": {"plain"}},
        "section": {"class": {"footnotes"}},
        "span": {"class": CLASSES},
        "sup": {"class": {"footnote-ref"}},
        "td": {"align": {"left", "center", "right"}},
        "th": {"align": {"left", "center", "right"}},
    },
    set_tag_attribute_values={"input": {"disabled": ""}},
    attribute_filter=_attribute,
    url_schemes={"http", "https", "mailto"},
    url_relative="pass_through",  # of which _attribute leaves footnotes
    link_rel="noopener noreferrer nofollow",
)
