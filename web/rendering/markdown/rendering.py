"""The pipeline from Markdown to safe HTML: comrak, formulas, links, colours, and nh3 last."""

import html
import re

from web.rendering.markdown import limits, parser, sanitizer, source
from web.rendering.markdown.colours import add_colours
from web.rendering.markdown.deadline import deadline
from web.rendering.markdown.formulas import render_formulas


def render(text: str, prefix: str = "", *, finished: bool = True) -> str:
    """`text` as safe HTML. Each top-level block ends in one newline. Never raises.

    `prefix` goes before the ids of footnotes and keeps them unique on a page. Unless the text is `finished`, code has
    no colours and fenced formulas stay code. A text beyond `limits` or `deadline` comes back whole, as plain text in
    `<pre class="plain">`.
    """
    if not text.strip(" \t\r\n"):
        return ""
    try:
        with deadline(text):
            output = _to_html(text, finished)
            if output is None:
                return plain(text)
            output = _CODE.sub(_code_tag, _rewrite_links(output, prefix))
            output = add_colours(output) if finished else output
        return sanitizer.clean(output)  # it takes linear time, and drops what its callbacks raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # so are Overtime, and a panic in Rust
        return plain(text)


def is_plain(text: str) -> bool:
    """Whether `render` gives up and shows the text as written."""
    try:
        with deadline(text):
            return _to_html(text, finished=True) is None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return True


def plain(text: str) -> str:
    # HTML parsers drop the first newline after <pre>, so we add one that does not belong to the text.
    return f'<pre class="plain">\n{escape(text)}</pre>\n'


def escape(text: str) -> str:
    """Escape text for use between tags, with line ends normalized as an HTML parser does."""
    return html.escape(parser.normalize_line_ends(text), quote=False)


def _to_html(text: str, finished: bool) -> str | None:
    text = parser.normalize_line_ends(text)
    if limits.too_long(text) or limits.first_excess(text) < len(text):
        return None
    if limits.too_many_open_formulas(text) or limits.too_many_definitions(text):
        return None
    text = source.protect(text)
    output = parser.to_html(text)
    if hidden := source.hidden_definitions(text, output):
        output = parser.to_html(source.apply_edits(text, [(at, at, "\\") for at in hidden]))
    output = render_formulas(output, fences=finished)
    return None if limits.too_much(output, text) else output


# comrak escapes quotes and angle brackets in text and attributes, so these patterns match only its own tags.

_ANCHOR = re.compile(r'<a href="([^"]*)"([^>]*)>|(</a>)|<img src="([^"]*)" alt="([^"]*)"[^>]*>|<li id="(fn-[^"]*)">')
_CODE = re.compile(r'<pre><code class="language-([^"]*)"[^>]*>')


def _rewrite_links(output: str, prefix: str) -> str:
    """Keep only web and mail links, turn images into links, and add the prefix to the ids of footnotes."""
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


def _code_tag(code: re.Match[str]) -> str:
    name = html.unescape(code[1]).lower()
    if name == source.LITERAL:
        return '<pre class="plain"><code>'
    known = sanitizer.LANGUAGE.fullmatch(f"language-{name}")
    return f'<pre><code class="{known[0]}">' if known else "<pre><code>"
