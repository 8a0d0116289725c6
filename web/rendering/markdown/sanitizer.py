"""The allow-list for the HTML of a model's text. It runs last, so it holds whatever went wrong before."""

import re

import nh3

from web.rendering.markdown.colours import CLASSES
from web.rendering.markdown.formulas import SCROLLING_CLASS

LINK = re.compile(r"(?:https?://(?![^/?#\\]*@)[^\s/?#\\]|mailto:[^\s])", re.IGNORECASE)
LANGUAGE = re.compile(r"language-[a-z0-9+#-]{1,20}")

_FOOTNOTE = re.compile(r"#?[A-Za-z0-9-]*fn(?:ref)?-[A-Za-z0-9%_.~-]{1,200}")
_LENGTH = re.compile(r"-?\d{0,2}(?:\.\d{1,10})?(?:em)?")
_LENGTHS = {"linethickness", "lspace", "maxsize", "minsize", "rspace", "scriptlevel", "width"}
_BACK_LABEL = re.compile(r"Back to reference [0-9-]{1,20}")


# Text and elements without attributes, which most blocks consist of. A NUL, a carriage return, a byte order mark and a
# no-break space are left out: nh3 changes them.
_HARMLESS = re.compile(
    r"(?:[^<>&\0\r\ufeff\xa0]++|&(?:amp|lt|gt|quot);|</?(?:p|em|strong|del|code|ul|ol|li|blockquote|h[1-6])>)*+"
)


def clean(html: str) -> str:
    """The HTML without everything that the allow-list does not name. comrak has to nest the elements correctly."""
    if _HARMLESS.fullmatch(html):
        return html.replace("&quot;", '"')  # nh3 takes ten times as long
    return _CLEANER.clean(html)


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "href":
        return value if LINK.match(value) or (value[:1] == "#" and _FOOTNOTE.fullmatch(value)) else None
    if name == "id":
        return value if _FOOTNOTE.fullmatch(value) else None
    if name == "class" and tag == "code":
        return value if LANGUAGE.fullmatch(value) else None
    if name == "aria-label":
        return value if _BACK_LABEL.fullmatch(value) else None
    if name in _LENGTHS:
        return value if _LENGTH.fullmatch(value) else None
    return value


_TAGS = """
    p br hr h1 h2 h3 h4 h5 h6 em strong del a sup ul ol li input blockquote section pre code span
    table thead tbody tr th td
    math mrow mi mn mo mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover mmultiscripts
    mprescripts mtable mtr mtd mphantom mpadded menclose
"""
_BOOLEAN = {"true", "false"}

_CLEANER = nh3.Cleaner(
    tags=set(_TAGS.split()),
    attributes={
        "*": set(),  # nh3's default allows title and lang everywhere
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
        "mfrac": {"displaystyle": _BOOLEAN},
        "mi": {"mathvariant": {"normal"}},
        "mo": {"form": {"prefix", "infix", "postfix"}}
        | dict.fromkeys(("movablelimits", "stretchy", "symmetric"), _BOOLEAN),
        "mover": {"accent": _BOOLEAN},
        "mrow": {"displaystyle": _BOOLEAN},
        "mtable": {"displaystyle": _BOOLEAN},
        "mtd": {"class": {"l", "r"}},
        "munder": {"accentunder": _BOOLEAN},
        "munderover": {"accent": _BOOLEAN, "accentunder": _BOOLEAN},
        "pre": {"class": {"plain"}},
        "section": {"class": {"footnotes"}},
        "span": {"class": CLASSES | {SCROLLING_CLASS}, "tabindex": {"0"}},
        "sup": {"class": {"footnote-ref"}},
        "td": {"align": {"left", "center", "right"}},
        "th": {"align": {"left", "center", "right"}},
    },
    # <pre> and <table> may scroll, so the keyboard has to reach them.
    set_tag_attribute_values={"input": {"disabled": ""}, "pre": {"tabindex": "0"}, "table": {"tabindex": "0"}},
    attribute_filter=_filter_attribute,
    url_schemes={"http", "https", "mailto"},
    url_relative="pass_through",  # _filter_attribute keeps only footnotes
    link_rel="noopener noreferrer nofollow",
)
