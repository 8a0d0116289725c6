"""The list of chats, next to a chat and on pages of its own, as a visitor reads and uses it."""

from tests.web.dom import Node, parse
from tests.web.visitor import Visitor

MANY_CHATS = """
INSERT INTO chats (session_id, username, title, updated_at)
SELECT session_id, 'Ada', 'No. ' || n, now() - n * interval '1 minute'
  FROM chats, generate_series(1, $2) n WHERE chats.id = $1
"""


def id_of(chat: str) -> str:
    return chat.removeprefix("/chats/")


async def chats_of(visitor: Visitor, count: int) -> list[str]:
    """New chats, the latest first."""
    return [await visitor.begin(new="1") for _ in range(count)][::-1]


def groups(page: Node) -> dict[str, list[str]]:
    """The addresses of the chats next to a chat, by the name of their group."""
    lists = [each for each in page.select("#chats").matching("ul") if "aria-label" in each.attributes]
    return {each.attributes["aria-label"]: [a.attributes["href"] for a in each.matching("a")] for each in lists}


def chats_on(page: Node) -> list[str]:
    """The addresses of the chats on a page of the list."""
    return [row.select("a").attributes["href"] for row in page.matching("li")]


async def page_of(visitor: Visitor, path: str = "/chats") -> Node:
    answer = await visitor.http.get(path)
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


def link(page: Node, text: str) -> str:
    (found,) = [each for each in page.matching("a") if each.text == text]
    return found.attributes["href"]


async def press(visitor: Visitor, page: Node, action: str, chats: list[str]) -> Node:
    """Presses a button of the form with the chosen chats. Returns the next page."""
    (form,) = [each for each in page.matching("form") if each.matching("ul")]
    assert action in [button.attributes.get("value") for button in form.matching("button")]
    boxes = {box.attributes["name"]: box.attributes["value"] for box in form.matching("input")}
    fields = {f"chat-{id_of(chat)}": boxes[f"chat-{id_of(chat)}"] for chat in chats} | {"action": action}
    return await follow(visitor, form.attributes["action"], fields)


async def follow(visitor: Visitor, path: str, fields: dict[str, str]) -> Node:
    answer = await visitor.http.post(path, data=fields)
    assert answer.status_code == 303, answer.text
    return await page_of(visitor, answer.headers["location"])


async def undo(visitor: Visitor, page: Node) -> Node:
    form = page.select(".undo")
    fields = {field.attributes["name"]: field.attributes["value"] for field in form.matching("input")}
    button = form.select("button")
    return await follow(visitor, form.attributes["action"], fields | {"action": button.attributes["value"]})
