"""Markdown is rendered without losing a word, with colours for code and MathML for formulas."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.sanitized_html import CORPUS, page
from web.rendering.markdown import formulas, limits, render
from web.rendering.markdown.colours import LANGUAGES, MAX_BLOCK_CHARACTERS


def test_the_dialect_is_github_flavored_markdown() -> None:
    html = render("# T\n\n~~d~~ www.e.example\n\n- [x] t\n\n|a|\n|:-:|\n|1|\n\n***\n\n3. x\n\nh  \nb\n")

    for part in [
        "<h1>T</h1>",
        "<del>d</del>",
        'checked=""',
        '<td align="center">1</td>',
        "<hr>",
        '<ol start="3">',
        "h<br>",
    ]:
        assert part in html
    assert '<a href="http://www.e.example" target="_blank" rel="noopener noreferrer nofollow">' in html


@pytest.mark.parametrize("text", ["", "\n", " \t\r\n"])
def test_blank_text_renders_to_nothing(text: str) -> None:
    assert render(text) == ""


@pytest.mark.parametrize("name", CORPUS)
def test_every_block_ends_with_one_newline(name: str) -> None:
    html = render(CORPUS[name])

    assert html.endswith("\n")
    assert not html.endswith("\n\n")


# All words are shown


SYNTAX = [
    "\n",
    "\n\n",
    "    ",
    "  ",
    " ",
    "- ",
    "2) ",
    "> ",
    "# ",
    "`",
    "**",
    "_",
    "~~",
    "[",
    "]",
    "![",
    "|",
    "|-",
    "---",
    "=== ",
]
SYNTAX += [
    "[a]: ",
    "[^1]: ",
    "[^1]",
    "[a]",
    "|a|b|\n|-|-|\n",
    "<div>",
    "$",
    "$$",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "%",
    "<!--",
    "-->",
    "<b>",
    "&",
    "\r\n",
    "\r",
    "- [ ] ",
    '"t"',
    "'",
]


@given(st.lists(st.sampled_from([*SYNTAX, *["WORD"] * 12]), max_size=60))
def test_no_word_is_lost(pieces: list[str]) -> None:
    words = [f"Q{number}Q" for number in range(pieces.count("WORD"))]
    remaining = iter(words)
    text = "".join(next(remaining) if piece == "WORD" else piece for piece in pieces)

    shown = page(text).text

    assert (
        "~~~" in text or [word for word in words if word not in shown] == []
    )  # the language of a code fence isn't shown


def test_cells_beyond_the_last_column_stay_in_it() -> None:
    html = render("| a | b |\n|---|---|\n| `x || y` | 2 | 3 |\n| 1 | 2 |\n")

    assert "<td>| y` | 2 | 3</td>" in html
    assert "<td>2</td>" in html


def test_definitions_are_hidden_only_if_something_refers_to_them() -> None:
    shown = page(
        "[a] and x[^1]\n\n[a]: https://e.example\n[Note]: hello\n\n> [Said]: so\n\n[^1]: one\n\n[^2]: two\n"
    ).text

    assert page("[b]: https://e.example\n" * 2).text.count("[b]:") == 2
    assert "[a]:" not in shown
    assert "[^1]" not in shown
    for text in ["[Note]: hello", "[Said]: so", "one", "[^2]: two"]:
        assert text in shown


# Code


@pytest.mark.parametrize(
    "code",
    ["<script>alert(1)</script>\n", "a\n\n\n  b\t\n", "&lt;\n", "</code></pre>\n", "\x0b\x0c\u2028\n", "\n\nx\n"],
)
@pytest.mark.parametrize("language", ["", "py", "html", "no-such-language"])
def test_code_is_shown_as_written(code: str, language: str) -> None:
    assert page(f"~~~~{language}\n{code}~~~~\n").codes == [code]


@given(
    language=st.sampled_from(sorted(LANGUAGES)),
    code=st.text(st.characters(codec="utf-8", exclude_characters="\0\r~"), max_size=80),
)
def test_colours_change_no_character_of_code(language: str, code: str) -> None:
    assert page(f"~~~~{language}\n{code}\n~~~~\n").codes == [f"{code}\n"]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_has_its_colours(language: str) -> None:
    assert f'class="language-{language}"' in render(f"```{language}\nx = 1\n```\n")


@pytest.mark.parametrize(
    ("code", "spans"),
    [
        (
            "```py\ndef f(x):  # c\n    return 'a'\n```",
            {"k": ["def", "return"], "f": ["f"], "c": ["# c"], "s": ["'a'"]},
        ),
        (
            "```js\n/* a\nb */ const x = `y` + 0x1F\n```",
            {"c": ["/* a\nb */"], "k": ["const"], "s": ["`y`"], "n": ["0x1F"]},
        ),
        ("```rust\nfn a<'b>(x: &'b Foo) { 'c' }\n```", {"k": ["fn"], "t": ["Foo"], "s": ["'c'"]}),
        ('```json\n{"a": [1, true, "b"]}\n```', {"a": ['"a"'], "n": ["1"], "k": ["true"], "s": ['"b"']}),
        ("```html\n<a b='c'>d</a>\n```", {"k": ["&lt;a", "&lt;/a"], "a": ["b"], "s": ["'c'"]}),
        ("```diff\n+a\n-b\n c\n```", {"i": ["+a"], "x": ["-b"]}),
    ],
)
def test_code_has_the_colours_of_its_language(code: str, spans: dict[str, list[str]]) -> None:
    found = re.findall(r'<span class="tok-(\w)">([^<]*)</span>', render(code))

    assert {kind: [text for each, text in found if each == kind] for kind, _ in found} == spans


REPEATED = ["a", "a ", "a\n", "\n", "/", "'", '"', '"a\\', "\\'", "a.", "(", "/*", "`", "="]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_repetitive_code_is_coloured(language: str) -> None:
    """Pygments takes seconds for some of these, which would make this test noticeably slow."""
    for repeated in REPEATED:
        code = repeated * (MAX_BLOCK_CHARACTERS // len(html.escape(repeated)))
        assert page(f"~~~{language}\n{code}\n~~~\n").codes == [f"{code}\n"]


def test_only_short_code_in_a_known_language_is_coloured() -> None:
    assert "tok-k" in render("```python\nreturn 1\n```\n")
    assert "tok-" not in render("```python\nreturn 1\n```\n", finished=False)
    assert "tok-" not in render("```\nreturn 1\n```\n")
    assert "tok-" not in render("```nonsense\nreturn 1\n```\n")
    assert "tok-" not in render("```python\n" + "return 1\n" * 5000 + "```\n")


# Formulas


@pytest.mark.parametrize("formula", ["$x<1$", "\\(x<1\\)", "$`x<1`$"])
def test_a_formula_is_mathml(formula: str) -> None:
    assert render(f"if {formula}, yes") == "<p>if <math><mi>x</mi><mo>&lt;</mo><mn>1</mn></math>, yes</p>\n"


@pytest.mark.parametrize("formula", ["$$\nx<1\n$$", "\\[ x<1 \\]", "```math\nx<1\n```"])
def test_a_display_formula_is_a_block(formula: str) -> None:
    mathml = '<math display="block"><mi>x</mi><mo>&lt;</mo><mn>1</mn></math>'
    assert render(formula) == f'<p><span class="math" tabindex="0">{mathml}</span></p>\n'


def test_columns_are_aligned_without_style_attributes() -> None:
    html = render("$$\\begin{aligned} a &= b \\end{aligned}$$")

    assert '<mtd class="r"><mi>a</mi></mtd><mtd class="l"><mo>=</mo><mi>b</mi></mtd>' in html
    assert "style=" not in html.replace("displaystyle=", "")


@pytest.mark.parametrize("prices", ["$5 to $6", "US$5,US$6", "$5-$10", "a $ b $", "`$a` and `$b`", "\\$x$"])
def test_prices_and_variables_are_not_formulas(prices: str) -> None:
    assert "math" not in page(prices).tags
    assert page(prices).text.count("$") == prices.replace("\\$", "$").count("$")


@pytest.mark.parametrize(
    "source",
    [
        r"\nosuchcommand{x}",
        r"\frac{1",
        r"\href{javascript:alert(1)}{x}",
        r"\newcommand{\a}{\a\a}\a",
        "{" * (formulas.MAX_CHARACTERS - 1),
        "x" * (formulas.MAX_CHARACTERS + 1),
        r"\overset{a}{" * 150,
        r"\sqrt{" * 60 + "x" + "}" * 60,
        r"x^{" * 200 + "1" + "}" * 200,
        r"\left(" * 60 + r"\right)" * 60,
        "'" * 500,
        r"\begin{matrix}" * 50 + r"\end{matrix}" * 50,
    ],
)
def test_a_formula_that_is_unknown_or_too_large_is_shown_as_written(source: str) -> None:
    assert page(f"a ${source}$ b").codes == [source]
    assert page(f"```math\n{source}\n```").codes == [f"{source}\n"]


def test_a_percent_sign_in_a_formula_hides_nothing() -> None:
    assert "5%ofall" in page("$5% of all$").text


def test_the_output_for_thousands_of_formulas_is_bounded() -> None:
    assert len(render("$x'$ " * 50_000)) <= limits.MAX_OUTPUT_CHARACTERS


# Footnotes


def test_footnotes_have_ids_of_their_own_message() -> None:
    html = render("x[^1]\n\n[^1]: note\n", "message-7-")

    assert 'href="#message-7-fn-1" id="message-7-fnref-1"' in html
    assert '<li id="message-7-fn-1">' in html
    assert 'href="#message-7-fnref-1" class="footnote-backref"' in html
