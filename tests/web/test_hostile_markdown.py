"""The HTML of a model's text is harmless. A01 to A20 are the attacks listed in docs/security.md."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.web.markdown_texts import texts
from tests.web.sanitized_html import CORPUS, TAG, page
from web.rendering.markdown import limits, parser, render, sanitizer
from web.rendering.markdown.rendering import plain

SCHEMES = ["javascript:", "JaVaScRiPt&#58;", "&#x6A;avascript:", "java&Tab;script:", "vbscript:"]
SCHEMES += ["data:text/html,", "blob:", "filesystem:", "file:", "intent:"]


def is_plain(text: str) -> bool:
    return render(text) == plain(text)


@pytest.mark.parametrize("name", CORPUS)
def test_only_allowed_html_comes_out_of_the_corpus(name: str) -> None:
    page(CORPUS[name])


@given(st.lists(st.sampled_from(re.findall(r"\w+|\s|[^\w\s]+", "".join(CORPUS.values()))), max_size=60).map("".join))
def test_only_allowed_html_comes_out_of_a_mixture(text: str) -> None:
    page(text)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a01_a_link_goes_to_the_web_or_to_mail(scheme: str) -> None:
    for text in [
        f"[label]({scheme}alert(1))",
        f"[label]\n\n[label]: <{scheme}alert(1)>",
        f"![label]({scheme}alert(1))",
    ]:
        assert page(text).links == []
        assert "label" in page(text).text
    assert page("<javascript:alert(1)>").links == []


@pytest.mark.parametrize("kind", ["svg+xml", "png"])
def test_a02_an_image_in_a_url_is_its_label(kind: str) -> None:
    shown = page(f"![a picture](data:image/{kind};base64,AAAA)")

    assert shown.tags == ["p"]
    assert shown.text == "a picture\n"


HTML = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1) srcset=y>",
    "<svg onload=alert(1)>",
    "<iframe srcdoc=x>",
    "<style>@import 'x'</style>",
    '<p style="background:url(https://canary.example)">',
    "<template shadowrootmode=open>",
    "<dialog open>",
    "<button form=composer>",
    "<math><annotation-xml>",
    "<math><semantics><annotation><p>",
    "<!-- x -->",
    "<?php x ?>",
    "<![CDATA[x]]>",
]


@pytest.mark.parametrize("tag", HTML)
def test_a03_html_is_shown_not_obeyed(tag: str) -> None:
    for text in [tag, f"text {tag} text", f"- {tag}", f"> {tag}\n", f"**{tag}**", f"# {tag}", f"| {tag} |\n|-|\n"]:
        assert tag in page(text).text


@pytest.mark.parametrize("tag", HTML)
def test_a04_html_in_code_is_shown_as_written(tag: str) -> None:
    assert page(f"```html\n{tag}\n```\n").codes == [f"{tag}\n"]
    assert page(f"    {tag}\n").codes == [f"{tag}\n"]
    assert page(f"`{tag}`\n").codes == [tag]


@pytest.mark.parametrize("info", ['js" onmouseover="alert(1)', "a" * 5000, "<b>", "x&quot;y", "ünicode", "a.b", "\\"])
def test_a05_a_malformed_language_is_ignored(info: str) -> None:
    assert "class" not in render(f"~~~{info}\nx\n~~~\n")


def test_a05_a_language_is_a_class() -> None:
    assert 'class="language-c++"' in render("~~~ C++ title=x\nx\n~~~\n")


def test_a06_images_are_links_to_click() -> None:
    shown = page(CORPUS["images"])

    assert "img" not in shown.tags
    assert "https://canary.example/?s=secret" in shown.links
    assert "https://canary.example/no-alt.png" in shown.text
    assert shown.links.count("https://e.example") == 1


@pytest.mark.parametrize("name", ["html", "htmx", "clobbering", "mxss"])
def test_a07_a09_a12_no_attribute_of_the_model_gets_through(name: str) -> None:
    html = render(CORPUS[name])
    tags = "".join(re.findall("<[^>]*>", html))

    assert not re.search(r"hx-|data-|sse|style|on\w+=| id=| name=|composer|indicator", tags)


def test_a08_definitions_neither_leave_a_message_nor_multiply_it() -> None:
    many = "".join(f"[{number}]: https://e.example/{number}\n" for number in range(1000)) + "[1] " * 1000

    assert page("[x]: https://e.example\n").text != ""
    assert page("[x]").links == []
    assert page("[a]\n\n[a]: https://first.example\n\n[a]: https://second.example\n").links == ["https://first.example"]
    assert len(render(many)) <= limits.MAX_OUTPUT_CHARACTERS


@pytest.mark.parametrize("title", ["<hx-a hx-post=/X hx-trigger=load ", "<head>", "</head>", "&lt;hx-a "])
def test_a10_a11_titles_do_not_come_out(title: str) -> None:
    html = render(f'[x](https://e.example "{title}") ![y](https://e.example "{title}")')

    assert "hx-" not in html
    assert "head" not in html
    assert "title" not in html


def test_a13_entities_are_decoded_once() -> None:
    assert page("&lt;script&gt; &#x3C;b&#x3E; &amp;lt; &#0;").text == "<script> <b> &lt; \ufffd\n"


@pytest.mark.parametrize(
    "url", ["https://good.example@evil.example", "https://u:p@h.example/", "https://good.example%5C@evil.example"]
)
def test_a15_a_link_has_no_user_and_no_password(url: str) -> None:
    assert page(f"[x]({url}) <{url}>").links == []
    assert "@" in page(f"<{url}>").text


@pytest.mark.parametrize(
    "url", ["//evil.example", "/\\evil", "/logout", "?x=1", "#composer", "#fn-1", "https:evil", "https:/evil", "", "x"]
)
def test_a16_a_link_is_absolute(url: str) -> None:
    assert page(f"[x]({url})").links == []


def table(columns: int, rows: str) -> str:
    return "|a" * columns + "|\n" + "|-" * columns + "|\n" + rows


@pytest.mark.parametrize(
    "text", [table(5000, ""), table(500, "|x|\n" * 14000), table(60, "|x|\n" * 14000), table(60, "x\n" * 9000)]
)
def test_a17_a_table_out_of_proportion_is_plain_text(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize("before", ["", "> ", "> > ", "  ", "    ", ">   "])
def test_a17_no_cell_of_a_table_is_lost(before: str) -> None:
    rows = ["| ä | b |", "|---|---|", "| one | two | three | four", "five | six | seven"]
    text = "- list\n  - more\n\n" * before.count("  ") + "".join(f"{before}{row}\n" for row in rows)

    shown = page(text)

    assert "table" in shown.tags
    assert all(word in shown.text for word in ("one", "two", "three", "four", "five", "six", "seven"))


@pytest.mark.parametrize(
    "text", [table(64, ""), table(10, "|x" * 10 + "|\n"), table(3, "|x|\n" * 5), table(2, "| 1 | 2 |\n" * 1000)]
)
def test_a17_an_ordinary_table_is_a_table(text: str) -> None:
    assert "table" in page(text).tags


@pytest.mark.parametrize(
    "text",
    [
        ">" * 20_000 + "a",
        "* " * 20_000 + "a",
        "".join("  " * level + "- a\n" for level in range(400)),
        "".join(" " * 98 * level + "- " * 49 + "a\n" for level in range(36)),
        "*a " * 20_000 + "b" + " a*" * 20_000,
    ],
)
def test_a18_nesting_beyond_measure_is_plain_text(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize(
    "text",
    ["[" * 20_000, "![" * 20_000, "*a **b" * 9000, "[a](" * 20_000, "<" * 60_000, "[^1]" * 10_000 + "\n\n[^1]: x"],
)
def test_a18_repetition_is_survived(text: str) -> None:
    assert len(render(text)) <= limits.MAX_OUTPUT_CHARACTERS
    page(text)


def test_a19_many_urls_are_survived() -> None:
    assert len(render("http://a." * 9000)) <= limits.MAX_OUTPUT_CHARACTERS


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "a" * (limits.MAX_INPUT_CHARACTERS + 1),
        "http://a.b " * 20_000,
        "<" * limits.MAX_INPUT_CHARACTERS,
    ],
)
def test_a20_text_beyond_the_limits_is_plain_text(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize("text", ["a" + "\u0301" * 100_000, "\n" * 100_000, "a" * 200_000])
def test_a20_odd_but_allowed_text_is_rendered(text: str) -> None:
    assert not is_plain(text)


def test_plain_text_keeps_its_first_newline() -> None:
    assert plain("\n<b>&\r\n") == '<pre class="plain">\n\n&lt;b&gt;&amp;\n</pre>\n'


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\ufeff"])
def test_unexpected_input_is_harmless(text: str) -> None:
    render(text)


# The sanitizer alone, as if everything before it had failed


@pytest.mark.parametrize("name", CORPUS)
def test_the_sanitizer_passes_only_allowed_html(name: str) -> None:
    cleaned = sanitizer.clean(CORPUS[name])

    assert not re.search("[<>]", TAG.sub("", cleaned))
    assert not re.search(
        r" (title|lang|style|name|on\w+|hx-\w+|data-[\w-]+|srcset|src)=", "".join(TAG.findall(cleaned))
    )


@pytest.mark.parametrize(
    "html",
    [
        '<p title="x" lang="x" style="x" class="x" id="x" hx-get="/x" data-hx-get="/x">',
        '<a href="javascript:alert(1)" title="<hx-a hx-post=/X ">',
        '<a href="/logout" target="_top" id="composer" class="htmx-indicator">',
        '<a href="https://good.example@evil.example" aria-label="x">',
        '<a href="#composer">',
        '<code class="language-x htmx-indicator">',
        '<span class="tok-zz" sse-connect="/x">',
        '<math href="https://e.example" style="x" xlink:href="javascript:x">'
        '<mi id="x" mathcolor="red">x</mi><mo lspace="x">+</mo></math>',
        '<hx-partial hx-target="#composer"><svg><math><img src="x"><form><button>',
    ],
)
def test_the_sanitizer_drops_every_other_attribute(html: str) -> None:
    assert not re.search(r' (?!rel=)[a-z-]+="', sanitizer.clean(html))


def test_the_sanitizer_keeps_angle_brackets_in_attributes_escaped() -> None:
    """nh3 before 0.3.7 wrote them unescaped, and htmx searches the raw text for its tags."""
    assert 'href="https://e.example/?q=&lt;hx-a ' in sanitizer.clean(
        '<a href="https://e.example/?q=&lt;hx-a hx-post=/X ">x</a>'
    )


def test_the_sanitizer_keeps_task_list_boxes_disabled() -> None:
    assert sanitizer.clean('<input type="text" name="x" value="y">') == '<input disabled="">'


@given(texts)
@example('"quotes" & <tags>\n\n- **bold** `code` ~~gone~~\n\n> ### Title')
@example("no\u00a0break, \ufeff mark, \x01 control, \u2028 line, \u202e right to left, \U0001f600")
@example("*" * 50 + "deep" + "*" * 50)
def test_html_that_needs_no_cleaning_is_what_nh3_makes_of_it(text: str) -> None:
    html = parser.to_html(text)

    assert sanitizer.clean(html) == sanitizer._CLEANER.clean(html)


@pytest.mark.parametrize(
    "html",
    [
        "<p onclick=x>",
        "<p >",
        "<P>",
        "<p",
        "<script>",
        "<pre>",
        "<a>",
        "<!-- -->",
        "<?x>",
        "&nbsp;",
        "&#60;",
        "&amp",
        "\0",
        "\r",
        "\u00a0",
        "\ufeff",
        "a > b",
    ],
)
def test_only_text_and_known_elements_without_attributes_need_no_cleaning(html: str) -> None:
    assert sanitizer._HARMLESS.fullmatch("<p>text &lt; <em>text</em></p>")
    assert not sanitizer._HARMLESS.fullmatch(html)
    assert not sanitizer._HARMLESS.fullmatch(f"<p>text</p>{html}<p>text</p>")
