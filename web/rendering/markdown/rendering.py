"""The way of a text to safe HTML: comrak, formulas, links, colours, and nh3 last."""

import html
import re

from web.rendering.markdown import limits, parser, sanitizer, source
from web.rendering.markdown.colours import coloured
from web.rendering.markdown.formulas import with_formulas


def render(text: str, prefix: str = "", *, finished: bool = True) -> str:
    """`text` as safe HTML, each top-level block ending in one newline; never raises.

    `prefix` stands before the ids of footnotes, so that they are unique on a page. Code that is not `finished` has no colours.
    What is beyond `limits` comes back whole, as plain text in `<pre class="plain">`.
    """
    if not text.strip(" \t\r\n"):
        return ""
    try:
        output = _parsed(text, finished)
        return plain(text) if output is None else _safe(output, prefix, finished)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in Rust is no Exception
        return plain(text)


def is_plain(text: str) -> bool:
    """Whether `render` gives up on the text and shows it as it was written."""
    try:
        return _parsed(text, finished=True) is None
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


def _parsed(text: str, finished: bool) -> str | None:
    text = parser.unix(text)
    if limits.too_long(text) or limits.first_excess(text) < len(text):
        return None
    text = source.with_all_blocks(text)
    output = parser.to_html(text)
    if hidden := source.hidden(text, output):
        output = parser.to_html(source.edited(text, [(at, at, "\\") for at in hidden]))
    output = with_formulas(output, fences=finished)
    return None if limits.too_much(output, text) else output


def _safe(output: str, prefix: str, finished: bool) -> str:
    output = _CODE.sub(_language, _with_our_links(output, prefix))
    return sanitizer.clean(coloured(output) if finished else output)


# comrak escapes quotes and angle brackets in text and attributes, so these patterns meet its own tags only.

_ANCHOR = re.compile(r'<a href="([^"]*)"([^>]*)>|(</a>)|<img src="([^"]*)" alt="([^"]*)"[^>]*>|<li id="(fn-[^"]*)">')
_CODE = re.compile(r'<pre><code class="language-([^"]*)"[^>]*>')


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
    return sanitizer.LINK.match(html.unescape(href)) is not None


def _language(code: re.Match[str]) -> str:
    name = html.unescape(code[1]).lower()
    if name == source.LITERAL:
        return '<pre class="plain"><code>'
    known = sanitizer.LANGUAGE.fullmatch(f"language-{name}")
    return f'<pre><code class="{known[0]}">' if known else "<pre><code>"
