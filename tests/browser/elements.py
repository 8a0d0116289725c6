"""The elements and attributes allowed in an answer, and scripts that check them."""

import re
from typing import Any

FOOTNOTE = r"message-[\w-]+fn.*"
LINK = (
    rf"href=((https?://(?![^/]*@)|mailto:).*|#{FOOTNOTE})|rel=noopener noreferrer nofollow|target=_blank|id={FOOTNOTE}"
)
LINK += r"|class=footnote-backref|aria-label=Back to reference [0-9-]+"
ALLOWED = {
    "a": LINK,
    "code": r"class=language-[a-z0-9+#-]+",
    "input": r"type=checkbox|disabled=|checked=",
    "li": rf"id={FOOTNOTE}",
    "ol": r"start=\d+",
    "pre": r"class=plain|tabindex=0",
    "table": r"tabindex=0",
    "span": r"class=(tok-[a-z]|math)|tabindex=0",
    "section": r"class=footnotes",
    "sup": r"class=footnote-ref",
    "td": r"align=(left|center|right)",
    "th": r"align=(left|center|right)",
}
BARE = {
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
ALLOWED |= dict.fromkeys(BARE, "(?!)")
FORMULA = (
    r"(l|r)space=-?[\d.]+(em)?|(min|max)size=[\d.]+em|width=-?[\d.]+em|linethickness=0|scriptlevel=\d|display=block"
)
FORMULA += r"|(displaystyle|stretchy|symmetric|movablelimits|accent|accentunder)=(true|false)|mathvariant=normal"
FORMULA += r"|form=(pre|in|post)fix|notation=[a-z]+|class=[lr]"
MATHML = "math mrow mi mn mo mtext mspace msup msub msubsup mfrac msqrt mroot munder mover munderover "
MATHML += "mtable mtr mtd menclose"
ALLOWED |= dict.fromkeys(MATHML.split(), FORMULA)
# Every element and attribute of the last answer, except those that the page adds.
ELEMENTS = """content => [...content.querySelectorAll('*:not(.tail, .void)')].map((element) =>
  [element.localName, [...element.attributes].map((attribute) => `${attribute.name}=${attribute.value}`)])"""
# Records every element that is ever inserted, even briefly, without the temporary classes of htmx.
WATCH = """() => {
  window.came = [];
  const own = (attribute) => `${attribute.name}=${attribute.value.replace(/ ?htmx-(added|settling)/g, '')}`;
  const attributes = (element) => [...element.attributes].map(own).filter((attribute) => attribute !== 'class=');
  new MutationObserver((records) => {
    for (const record of records) for (const node of record.addedNodes) {
      if (node.nodeType !== 1 || !node.parentElement?.closest('.content')) continue;
      for (const element of [node, ...node.querySelectorAll('*')])
        if (!element.matches('.tail')) came.push([element.localName, attributes(element)]);
    }
  }).observe(document.getElementById('messages'), {subtree: true, childList: true});
}"""


def not_allowed(elements: list[tuple[str, list[str]]]) -> list[Any]:
    return [
        (name, attributes)
        for name, attributes in elements
        if name not in ALLOWED or not all(re.fullmatch(ALLOWED[name], attribute, re.DOTALL) for attribute in attributes)
    ]
