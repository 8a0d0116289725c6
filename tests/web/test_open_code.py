"""Code has the colours of finished code while it grows, on a page that was open all the time and on one loaded now."""

import html
import re
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.block_viewer import Viewer, prefixes
from tests.web.dom import parse
from tests.web.sanitized_html import Page
from tests.web.visitor import parsed
from web.contract import Message
from web.live.events import EventRenderer
from web.live.steps import Snapshot
from web.rendering import blocks, positions
from web.rendering.blocks import CODE_END
from web.rendering.markdown import render
from web.rendering.markdown.colours import LANGUAGES, MAX_BLOCK_CHARACTERS
from web.rendering.patches import Patch
from web.rendering.templates import Templates

LAST = " code > span:last-child"
OPENED = '<pre tabindex="0"><code class="language-py">'
CODE_PIECES = re.findall(
    r"\S+",
    r"""x rb if Type f( a: b= ="c = : ; 1 0x1F .5 é 日 ' " \' ''' ` \` \ // /* */ / * # -- {- -} - <!-- --> <a </ > < &
    &amp; + @@ $ @b ```""",
)
CODE_PIECES += ["\n", "\n    ", " ", "\\\n", '"""', "\xa0", "\x0c"]
# A few different pieces, each several times, so that most tokens end.
codes = st.lists(st.sampled_from(CODE_PIECES), min_size=2, max_size=6, unique=True).flatmap(
    lambda pieces: st.lists(st.sampled_from([*pieces, "\n"]), min_size=10, max_size=60).map("".join)
)
sizes = st.lists(st.integers(1, 15), min_size=1, max_size=5)


def growing(text: str, at: positions.TextPosition) -> str:
    """The complete lines as finished code, and the last line, in the token that is open."""
    assert at.lexer
    finished = render(text[: at.complete_lines]).removesuffix(CODE_END)
    line = html.escape(text[at.complete_lines :], quote=False) if text[at.complete_lines :].strip(" ") else ""
    opened = finished.removesuffix("</span>") if at.lexer.kind else f"{finished}<span>"
    return f"{opened}{line}</span>{CODE_END}"


def check_colours(language: str, code: str, sizes: list[int]) -> None:
    viewer, text = Viewer(), f"~~~{language}\n{code}"
    for prefix in prefixes(text, sizes):
        viewer.see(prefix)
        assert viewer.at == positions.position(prefix)
        assert viewer.tail == blocks.snapshot(prefix).tail
        if viewer.at.open_code_fence:
            assert parse(viewer.tail).inner == parse(growing(prefix, viewer.at)).inner
            assert code.startswith(Page(viewer.tail).codes[0])


@settings(max_examples=300)
@given(st.sampled_from(sorted(LANGUAGES)), codes, sizes)
def test_growing_code_has_the_colours_of_finished_code(language: str, code: str, sizes: list[int]) -> None:
    check_colours(language, code, sizes)


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "f'''a\nb\nc''' 1\n2"),
        ("python", '"a\\\nb\\\n""c" 1\n2'),
        ("javascript", "`a\nb\n\\`c` 1\n2"),
        ("c", "/* a\nb\n/ c */ 1\n2"),
        ("haskell", "{- a\nb\n} c -} 1\n2"),
        ("html", "<!-- a\nb\n> c --> <d>\n<e>"),
        ("html", '<a b="c\nd\ne" f="g">\n<h>'),
        ("yaml", '"a\\\nb\\\nc": 1\n2'),
    ],
)
def test_a_token_over_several_lines_has_its_colours(language: str, code: str, size: int) -> None:
    check_colours(language, code, [size])


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("retu", "<span>retu</span>"),
        ("return 1", "<span>return 1</span>"),
        ("return x\n", '<span class="tok-k">return</span> x\n<span></span>'),
        ("if x:\n    retur", '<span class="tok-k">if</span> x:\n<span>    retur</span>'),
        ('x = """a\nb', 'x = <span class="tok-s">"""a\nb</span>'),
        ('"""a\nb"""\n1', '<span class="tok-s">"""a\nb"""</span>\n<span>1</span>'),
        ("'a\\\nb' if", "<span class=\"tok-s\">'a\\\nb' if</span>"),
        ("'a\nif\n", '<span class="tok-s">\'a</span>\n<span class="tok-k">if</span>\n<span></span>'),
        ("# <if>\n", '<span class="tok-c"># &lt;if&gt;</span>\n<span></span>'),
    ],
)
def test_complete_lines_have_colours_and_the_last_line_has_those_of_its_open_token(code: str, shown: str) -> None:
    assert blocks.snapshot(f"```py\n{code}").tail == f"{OPENED}{shown}{CODE_END}"


@pytest.mark.parametrize(
    ("code", "more", "patch"),
    [
        ("retu", "rn", Patch(False, "rn", LAST)),
        (
            "return",
            " 1\n",
            Patch(True, '<span class="tok-k">return</span> <span class="tok-n">1</span>\n<span></span>', LAST),
        ),
        ('1\n"""a\n', "b\n c", Patch(False, "b\n c", LAST)),
        ('1\n"""a\nb', '"""\nc', Patch(True, '<span class="tok-s">"""a\nb"""</span>\n<span>c</span>', LAST)),
    ],
)
def test_a_step_sends_only_what_it_changes(code: str, more: str, patch: Patch) -> None:
    text = f"```py\n{code}"
    before, after = positions.position(text), positions.position(text + more)

    assert blocks.step(text + more, before, after) == ("", "", patch, None)


@pytest.mark.parametrize("opening", ["```", "```nonsense", "```py,x", "```&#112;y", "```p\\y", " ```py", "```py\r"])
def test_other_code_has_no_colours_until_it_ends(opening: str) -> None:
    text = f"{opening}\nif x:\n"

    assert positions.position(text).open_code_fence
    assert "<span" not in blocks.snapshot(text).tail


@pytest.mark.parametrize("opening", ["```Python", "~~~~  py title=x", "```py\t", "```c++"])
def test_the_language_is_the_first_word_of_the_opening_line(opening: str) -> None:
    text = f"{opening}\nif x:\n"
    lexer = positions.position(text).lexer

    assert lexer
    assert f'<code class="language-{lexer.language}"><span class="tok-k">if</span>' in blocks.snapshot(text).tail


@pytest.mark.parametrize("line", ["x = 1\n", 'a = "b"\n', "a < b & 1 > c\n"])
def test_code_that_becomes_too_long_loses_its_colours(line: str) -> None:
    viewer, was_coloured = Viewer(), set()
    text = "```py\n" + line * (MAX_BLOCK_CHARACTERS // len(line) + 1)
    for prefix in prefixes(text, [997]):
        viewer.see(prefix)
        complete = prefix[: prefix.rfind("\n") + 1]
        assert viewer.at == positions.position(prefix)
        assert viewer.tail == blocks.snapshot(prefix).tail
        assert ("tok-" in viewer.tail) == ("tok-" in render(complete)), len(prefix)
        was_coloured.add("tok-" in viewer.tail)

    assert was_coloured == {True, False}


def test_code_with_a_carriage_return_loses_its_colours() -> None:
    viewer, text = Viewer(), "```py\nif x:\n    return 1\r\nif y:\n    return 2\n"
    tails = []
    for prefix in prefixes(text, [1]):
        viewer.see(prefix)
        assert viewer.tail == blocks.snapshot(prefix).tail
        tails.append(viewer.tail)

    assert f'{OPENED}<span class="tok-k">if</span> x:\n<span>    return 1</span>{CODE_END}' in tails
    assert "<span" not in tails[-1]


MESSAGE = cast(Message, {"id": "m", "status": "streaming"})
PAGE = """<article id="message-m"><div id="message-m-thought"></div><div class="content"></div>
<footer id="message-m-footer"></footer></article>"""


@pytest.mark.parametrize("size", [1, 7, 50])
@pytest.mark.parametrize(
    "text",
    [
        "Look:\n\n```py\nif x:\n    '''a\n    b'''\n    return 1\n```\n\nSo.",
        "```html\n<a b='</code></pre><hx-partial hx-target=x>'>\n<!-- </span>\n-->\n```\n",
        "```py\n" + "if a < b:\n" * (MAX_BLOCK_CHARACTERS // 13 + 20),
        "~~~js\nlet a = `b\n\n\nc` + {0}\r\n  let d\n~~~\n",
        "~~~nonsense\nif x:\n    return 1\n~~~\n",
    ],
    ids=["prose and code", "markup", "too long", "carriage return", "unknown"],
)
def test_a_page_that_receives_all_events_equals_one_loaded_now(text: str, size: int) -> None:
    renderer, page = EventRenderer(Templates(), "1", MESSAGE), parse(PAGE)
    seen: Snapshot | None = None
    at = positions.START
    for seq, prefix in enumerate(prefixes(text, [size * (1 + (len(text) // 500) ** 2)])):
        at = positions.position(prefix, at)
        snapshot = Snapshot(seq, 1, at, 0, 0, "streaming", None, "")
        event = parsed(renderer.step(prefix, "", seen, snapshot).decode().strip())
        page.swap(event.data if event else "")
        loaded = blocks.snapshot(prefix, "message-m-")
        tail = f'<div class="tail" id="message-m-tail">{loaded.tail}</div>'
        assert page.select(".content").inner == parse(loaded.frozen + tail).inner
        seen = snapshot
