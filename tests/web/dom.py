"""A small DOM: finds elements, applies the partials of a stream, and compares results."""

import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Node:
    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Node | str] = []
        self.parent: Node | None = None

    def all(self) -> Iterator["Node"]:
        """This element and its descendants, in document order."""
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.all()

    def matching(self, simple: str) -> list["Node"]:
        """Descendants by `#id`, `.class` or `tag`."""
        return [node for node in self.all() if node is not self and node.matches(simple)]

    def matches(self, simple: str) -> bool:
        if simple.endswith(":last-child"):
            assert self.parent
            siblings = [child for child in self.parent.children if isinstance(child, Node)]
            return siblings[-1] is self and self.matches(simple.removesuffix(":last-child"))
        if simple.startswith("#"):
            return self.attributes.get("id") == simple[1:]
        if simple.startswith("."):
            return simple[1:] in self.attributes.get("class", "").split()
        return self.tag == simple

    def select(self, selector: str) -> "Node":
        """The first element that matches the descendant and child selectors; fails without one."""
        node = self
        for child, simple in re.findall(r"(> )?([^ >]+)", selector):
            found = [each for each in node.matching(simple) if not child or each.parent is node]
            assert found, f"no {simple} of {selector} in {node.inner[:2000]}"
            node = found[0]
        return node

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def inner(self) -> str:
        return "".join(escape(child, quote=False) if isinstance(child, str) else child.outer for child in self.children)

    @property
    def outer(self) -> str:
        attributes = "".join(f' {name}="{escape(value)}"' for name, value in self.attributes.items())
        return f"<{self.tag}{attributes}>" + ("" if self.tag in VOID else f"{self.inner}</{self.tag}>")

    def append(self, *children: "Node | str") -> None:
        for child in children:
            if isinstance(child, Node):
                child.parent = self
            self.children.append(child)

    def replace_with(self, children: list["Node | str"]) -> None:
        assert self.parent
        siblings, self.parent.children = self.parent.children, []
        for sibling in siblings:
            self.parent.append(*(children if sibling is self else [sibling]))

    def swap(self, partials: str) -> None:
        """Applies a message of the stream, like htmx."""
        for partial in parse(partials).children:
            if isinstance(partial, str):
                assert not partial.strip(), f"outside of any partial: {partial!r}"
                continue
            assert partial.tag == "hx-partial"
            target, children = self.select(partial.attributes["hx-target"]), partial.children
            match partial.attributes["hx-swap"]:
                case "innerHTML":
                    target.children = []
                    target.append(*children)
                case "beforeend":
                    target.append(*children)
                case "outerHTML":
                    target.replace_with(children)
                case other:
                    raise AssertionError(f"no such swap: {other}")


class Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.open = Node("document", {})

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attributes})
        self.open.append(node)
        if tag not in VOID:
            self.open = node

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.append(data)


def parse(html: str) -> Node:
    """Parses well-formed HTML; fails for anything else."""
    parser = Parser()
    parser.feed(html)
    parser.close()
    assert parser.open is parser.root, f"<{parser.open.tag}> is not closed"
    return parser.root
