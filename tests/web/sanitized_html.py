"""Parses rendered text as a browser would, and fails on every element and attribute that is not on the allow-list."""

import re
from html.parser import HTMLParser
from pathlib import Path

from web.rendering.markdown import render

CORPUS = {path.stem: path.read_bytes().decode() for path in sorted((Path(__file__).parent / "corpus").glob("*.md"))}
PREFIX = "message-0190-"
FOOTNOTE = re.compile(rf"#?{PREFIX}fn(ref)?-[^\s<>\"]+")
ALLOWED = {
    "a": {
        "href": re.compile(rf"https?://[^/?#@]+([/?#].*)?|mailto:.+|{FOOTNOTE.pattern}"),
        "id": FOOTNOTE,
        "rel": re.compile("noopener noreferrer nofollow"),
        "target": re.compile("_blank"),
        "class": re.compile("footnote-backref"),
        "aria-label": re.compile(r"Back to reference [\d-]+"),
    },
    "code": {"class": re.compile(r"language-[a-z0-9+#-]{1,20}")},
    "input": {"type": re.compile("checkbox"), "checked": re.compile(""), "disabled": re.compile("")},
    "li": {"id": FOOTNOTE},
    "ol": {"start": re.compile(r"\d+")},
    "pre": {"class": re.compile("plain"), "tabindex": re.compile("0")},
    "table": {"tabindex": re.compile("0")},
    "section": {"class": re.compile("footnotes")},
    "span": {"class": re.compile("tok-[a-z]|math"), "tabindex": re.compile("0")},
    "sup": {"class": re.compile("footnote-ref")},
    "td": {"align": re.compile("left|center|right")},
    "th": {"align": re.compile("left|center|right")},
}
LENGTH = re.compile(r"-?\d*(\.\d+)?(em)?")
BOOLEAN = re.compile("true|false")
ALLOWED |= {
    "math": {"display": re.compile("block")},
    "menclose": {"notation": re.compile("box|(up|down)diagonalstrike|horizontalstrike")},
    "mfrac": {"displaystyle": BOOLEAN, "linethickness": LENGTH},
    "mi": {"mathvariant": re.compile("normal")},
    "mo": {
        "form": re.compile("prefix|infix|postfix"),
        **dict.fromkeys(["lspace", "rspace", "minsize", "maxsize"], LENGTH),
        **dict.fromkeys(["movablelimits", "stretchy", "symmetric"], BOOLEAN),
    },
    "mover": {"accent": BOOLEAN},
    "mrow": {"displaystyle": BOOLEAN, "scriptlevel": LENGTH},
    "mspace": {"width": LENGTH},
    "mtable": {"displaystyle": BOOLEAN, "scriptlevel": LENGTH},
    "mtd": {"class": re.compile("[lr]")},
    "munder": {"accentunder": BOOLEAN},
    "munderover": {"accent": BOOLEAN, "accentunder": BOOLEAN},
}
BARE = {
    "mn",
    "mtext",
    "msup",
    "msub",
    "msubsup",
    "msqrt",
    "mroot",
    "mmultiscripts",
    "mprescripts",
    "mtr",
    "mphantom",
    "mpadded",
}
BARE |= {
    "p",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "em",
    "strong",
    "del",
    "ul",
    "blockquote",
    "thead",
    "tbody",
    "tr",
}
ALLOWED |= {tag: {} for tag in BARE}
TAG = re.compile(r'</?[a-z][a-z0-9]*(?: [a-z-]+="[^"<>]*")*>')
VOID = {"br", "hr", "input"}


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.codes: list[str] = []
        self.links: list[str | None] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert ALLOWED[tag][name].fullmatch(value or ""), (tag, name, value)
        assert tag != "input" or ("disabled", "") in attrs
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "code":
            self.codes.append("")
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "code" in self.open:
            self.codes[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_pi = unknown_decl = handle_comment

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)


def page(text: str) -> Page:
    html = render(text, PREFIX)
    assert not re.search("[<>]", TAG.sub("", html)), "a raw angle bracket in a text or in an attribute's value"
    return Page(html)
