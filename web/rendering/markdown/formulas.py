"""Formulas: math-core converts LaTeX to MathML Core, which needs no script and no font in the browser.

A formula that it does not understand is shown as written.
"""

import html
import re

from math_core import LatexError, LatexToMathML

from web.rendering.byte_cache import ByteCache
from web.rendering.markdown import limits

MAX_CHARACTERS = 2000  # of a formula; the converter recurses, and a level may be as short as one character
MAX_CACHED_BYTES = 8 * 1024 * 1024
MAX_NESTING = 40  # elements inside each other; LaTeX written by people stays below 20
SCROLLING_CLASS = "math"
ALIGNMENT_CLASSES = {"left": "l", "right": "r"}

# The elements that comrak writes. The text between its tags has no angle brackets.
_INLINE = re.compile(r'<(span|code) data-math-style="(inline|display)">([^<]*)</\1>')
_FENCE = re.compile(r'<pre><code class="language-math" data-math-style="display">([^<]*)</code></pre>')
_PERCENT = re.compile(r"(?<!\\)%")
_TAG = re.compile(r"<(/?)m[a-z]+[^<>]*?(/?)>")
_ALIGNMENT = re.compile(r'<mtd style="[^"]*text-align: (left|right);[^"]*">')
_CONVERTER = LatexToMathML(fancy_error=False)


def render_formulas(output: str, *, fences: bool) -> str:
    """Replace the formulas in comrak's `output` by MathML; those in code fences only if `fences` is set."""
    if "data-math-style" not in output:
        return output
    if fences:
        output = _FENCE.sub(_render_fence, output)
    return _INLINE.sub(_render_span, output)


def _render_fence(fence: re.Match[str]) -> str:
    mathml = to_mathml(_source(fence[1]), True)
    return f"<p>{_scrolling(mathml)}</p>" if mathml else f'<pre><code class="language-math">{fence[1]}</code></pre>'


def _render_span(span: re.Match[str]) -> str:
    display = span[2] == "display"
    mathml = to_mathml(_source(span[3]), display)
    if not mathml:
        return f"<code>{span[3]}</code>"
    return _scrolling(mathml) if display else mathml


def _scrolling(mathml: str) -> str:
    """Wrap a formula in an element that scrolls: browsers do not let a <math> element scroll."""
    return f'<span class="{SCROLLING_CLASS}" tabindex="0">{mathml}</span>'


def _source(escaped: str) -> str:
    return html.unescape(escaped).strip()


_cache: ByteCache[str | None] = ByteCache(MAX_CACHED_BYTES)


def to_mathml(source: str, display: bool) -> str | None:
    """A formula as MathML. None if it is not understood, too long, too deep, or grows too much."""
    if not source or len(source) > MAX_CHARACTERS:
        return None
    return _cache.get((source, display), lambda: _convert(source, display))


def _convert(source: str, display: bool) -> str | None:
    try:
        # A LaTeX comment would drop words, and outside of LaTeX documents 5% means percent.
        mathml = _CONVERTER.convert_with_local_state(_PERCENT.sub(r"\\%", source), displaystyle=display)
    except LatexError:
        return None
    if len(mathml) > limits.MAX_OUTPUT_PER_INPUT * (len(source) + 2) or _depth(mathml) > MAX_NESTING:
        return None
    return _ALIGNMENT.sub(lambda cell: f'<mtd class="{ALIGNMENT_CLASSES[cell[1]]}">', mathml)


def _depth(mathml: str) -> int:
    depth = deepest = 0
    for tag in _TAG.finditer(mathml):
        if not tag[2]:
            depth += -1 if tag[1] else 1
            deepest = max(deepest, depth)
    return deepest
