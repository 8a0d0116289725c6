"""The last thing that touches the HTML of a model's text: whatever went wrong before, only this gets through."""

import re

import nh3

from web.rendering.markdown.colours import CLASSES
from web.rendering.markdown.formulas import SCROLLS

LINK = re.compile(r"(?:https?://(?![^/?#\\]*@)[^\s/?#\\]|mailto:[^\s])", re.IGNORECASE)
LANGUAGE = re.compile(r"language-[a-z0-9+#-]{1,20}")

_FOOTNOTE = re.compile(r"#?[A-Za-z0-9-]*fn(?:ref)?-[A-Za-z0-9%_.~-]{1,200}")
_LENGTH = re.compile(r"-?\d{0,2}(?:\.\d{1,10})?(?:em)?")
_LENGTHS = {"linethickness", "lspace", "maxsize", "minsize", "rspace", "scriptlevel", "width"}
_BACK = re.compile(r"Back to reference [0-9-]{1,20}")


def clean(html: str) -> str:
    return _CLEANER.clean(html)


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if LINK.match(value) or (value[:1] == "#" and _FOOTNOTE.fullmatch(value)) else None
    if name == "id":
        return value if _FOOTNOTE.fullmatch(value) else None
    if name == "class" and tag == "code":
        return value if LANGUAGE.fullmatch(value) else None
    if name == "aria-label":
        return value if _BACK.fullmatch(value) else None
    if name in _LENGTHS:
        return value if _LENGTH.fullmatch(value) else None
    return value


_TAGS = """
    p br hr h1 h2 h3 h4 h5 h6 em strong del a sup ul ol li input blockquote section pre code span table thead tbody tr th td
    math mrow mi mn mo mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover mmultiscripts mprescripts
    mtable mtr mtd mphantom mpadded menclose
"""
_YES_OR_NO = {"true", "false"}

_CLEANER = nh3.Cleaner(
    tags=set(_TAGS.split()),
    attributes={
        "*": set(),  # without it nh3 allows title and lang everywhere
        "a": {"href", "id", "aria-label"},
        "code": {"class"},
        "input": {"checked", "disabled"},
        "li": {"id"},
        "ol": {"start"},
        "mo": {"lspace", "maxsize", "minsize", "rspace"},
        "mfrac": {"linethickness"},
        "mrow": {"scriptlevel"},
        "mspace": {"width"},
        "mtable": {"scriptlevel"},
    },
    tag_attribute_values={
        "a": {"class": {"footnote-backref"}, "target": {"_blank"}},
        "input": {"type": {"checkbox"}},
        "math": {"display": {"block"}},
        "menclose": {"notation": {"box", "updiagonalstrike", "downdiagonalstrike", "horizontalstrike"}},
        "mfrac": {"displaystyle": _YES_OR_NO},
        "mi": {"mathvariant": {"normal"}},
        "mo": {"form": {"prefix", "infix", "postfix"}} | dict.fromkeys(("movablelimits", "stretchy", "symmetric"), _YES_OR_NO),
        "mover": {"accent": _YES_OR_NO},
        "mrow": {"displaystyle": _YES_OR_NO},
        "mtable": {"displaystyle": _YES_OR_NO},
        "mtd": {"class": {"l", "r"}},
        "munder": {"accentunder": _YES_OR_NO},
        "munderover": {"accent": _YES_OR_NO, "accentunder": _YES_OR_NO},
        "pre": {"class": {"plain"}},
        "section": {"class": {"footnotes"}},
        "span": {"class": CLASSES | {SCROLLS}, "tabindex": {"0"}},
        "sup": {"class": {"footnote-ref"}},
        "td": {"align": {"left", "center", "right"}},
        "th": {"align": {"left", "center", "right"}},
    },
    set_tag_attribute_values={"input": {"disabled": ""}, "pre": {"tabindex": "0"}, "table": {"tabindex": "0"}},  # both may scroll
    attribute_filter=_attribute,
    url_schemes={"http", "https", "mailto"},
    url_relative="pass_through",  # of which _attribute leaves footnotes
    link_rel="noopener noreferrer nofollow",
)
