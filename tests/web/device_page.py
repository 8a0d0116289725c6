"""The page that lists the devices of a session."""

from tests.web.dom import Node, parse
from tests.web.visitor import Visitor


async def devices(visitor: Visitor) -> list[Node]:
    return parse((await visitor.http.get("/devices")).text).select("ul").matching("li")


def form_of(device: Node) -> str:
    return str(device.select("form").attributes["action"])
