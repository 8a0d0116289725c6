"""Actions on chats and messages."""

from typing import Any

from tests.web.dom import Node
from tests.web.visitor import Visitor

FINISHED, RUNNING = {"text": "Because."}, {"text": "one two three", "hang_after": 2}


async def act(visitor: Visitor, chat: str, message: str, verb: str, status: int = 303, **form: str) -> str:
    """Posts an action on a message; returns the location of the redirect."""
    answer = await visitor.http.post(f"{chat}/messages/{message}/{verb}", data=form)
    assert answer.status_code == status, answer.text
    return str(answer.headers.get("location", ""))


async def finished_answer(visitor: Visitor, chat: str, content: Any = FINISHED, **fields: str) -> Any:
    return await visitor.ended(chat, await visitor.say(chat, content, **fields))


def user_messages(page: Node) -> list[str]:
    """The user's messages that the page shows."""
    return [
        article.select(".content").text for article in page.matching("article") if "user" in article.attributes["class"]
    ]


def draft(page: Node) -> str:
    """The text in the form; browsers drop a leading line feed."""
    return page.select("#content").text.removeprefix("\n").removeprefix("\r")


async def branches(visitor: Visitor) -> tuple[str, Any, Any]:
    """A chat with two answers to its question. Returns its path, the hidden answer and the shown one."""
    chat = await visitor.begin()
    hidden = await finished_answer(visitor, chat)
    shown = (await act(visitor, chat, hidden["id"], "regenerate")).partition("#message-")[2]
    return chat, hidden, await visitor.ended(chat, shown)


def message_ids(page: Node) -> list[str]:
    return [article.attributes["id"].removeprefix("message-") for article in page.matching("article")]
