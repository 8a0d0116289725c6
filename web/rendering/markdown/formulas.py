"""Formulas: LaTeX as MathML Core, by math-core, which needs no script and no font in the browser.

What it does not know is shown as it was written.
"""

import html
import re
from functools import lru_cache

from math_core import LatexError, LatexToMathML

from web.rendering.markdown import limits

CHARACTERS = 2000  # of a formula; the converter recurses, and a level may take as little as one character
NESTING = 40  # elements inside each other, where LaTeX of people stays below 20
SCROLLS = "math"
ALIGNED = {"left": "l", "right": "r"}

# As comrak writes them; the text between tags has no angle brackets.
_INLINE = re.compile(r'<(span|code) data-math-style="(inline|display)">([^<]*)</\1>')
_FENCE = re.compile(r'<pre><code class="language-math" data-math-style="display">([^<]*)</code></pre>')
_PERCENT = re.compile(r"(?<!\\)%")
_TAG = re.compile(r"<(/?)m[a-z]+[^<>]*?(/?)>")
_ALIGNMENT = re.compile(r'<mtd style="[^"]*text-align: (left|right);[^"]*">')
_CONVERTER = LatexToMathML(fancy_error=False)


def with_formulas(output: str, *, fences: bool) -> str:
    """comrak's `output` with its formulas as MathML; those that are a fence only if it is finished."""
    if "data-math-style" not in output:
        return output
    if fences:
        output = _FENCE.sub(_block, output)
    return _INLINE.sub(_inline, output)


def _block(fence: re.Match[str]) -> str:
    mathml = mathml_of(_source(fence[1]), True)
    return f"<p>{_wide(mathml)}</p>" if mathml else f'<pre><code class="language-math">{fence[1]}</code></pre>'


def _inline(span: re.Match[str]) -> str:
    display = span[2] == "display"
    mathml = mathml_of(_source(span[3]), display)
    if not mathml:
        return f"<code>{span[3]}</code>"
    return _wide(mathml) if display else mathml


def _wide(mathml: str) -> str:
    """Within something that scrolls, since browsers let no formula do that itself."""
    return f'<span class="{SCROLLS}" tabindex="0">{mathml}</span>'


def _source(escaped: str) -> str:
    return html.unescape(escaped).strip()


@lru_cache(4096)
def mathml_of(source: str, display: bool) -> str | None:
    """A formula as MathML; None if it is not understood, too long, too deep, or would grow out of proportion."""
    if not source or len(source) > CHARACTERS:
        return None
    try:
        # A comment would lose words, and who writes 5% outside of LaTeX means percent.
        mathml = _CONVERTER.convert_with_local_state(_PERCENT.sub(r"\\%", source), displaystyle=display)
    except LatexError:
        return None
    if len(mathml) > limits.OUTPUT_PER_INPUT * (len(source) + 2) or _depth(mathml) > NESTING:
        return None
    return _ALIGNMENT.sub(lambda cell: f'<mtd class="{ALIGNED[cell[1]]}">', mathml)


def _depth(mathml: str) -> int:
    depth = deepest = 0
    for tag in _TAG.finditer(mathml):
        if not tag[2]:
            depth += -1 if tag[1] else 1
            deepest = max(deepest, depth)
    return deepest
