"""Calls that read and change the list of chats."""

from typing import Any

from tests.dbapi.calls import new_chat
from tests.dbapi.conftest import Api


async def listed(api: Api, **parameters: Any) -> Any:
    response = await api.get("/chats", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


async def ids(api: Api, **parameters: Any) -> list[str]:
    return [chat["id"] for chat in (await listed(api, **parameters))["chats"]]


async def pages(api: Api, limit: int, **parameters: Any) -> list[list[str]]:
    """The ids on each page, following the cursors."""
    found, cursor = [], ""
    while True:
        page = await listed(api, limit=limit, after=cursor, **parameters)
        found.append([chat["id"] for chat in page["chats"]])
        cursor = page["next"]
        if cursor is None:
            return found


async def new_chats(api: Api, count: int) -> list[str]:
    """The ids, the latest first."""
    return [(await new_chat(api))["id"] for _ in range(count)][::-1]


async def change(api: Api, chat: str, **values: Any) -> Any:
    changed = await api.patch(f"/chats/{chat}", json=values)
    assert changed.status_code == 200, changed.text
    return changed.json()


async def change_many(api: Api, chats: list[str], **values: Any) -> list[str]:
    """Returns the ids of the chats that were found."""
    changed = await api.patch("/chats", json={"ids": chats} | values)
    assert changed.status_code == 200, changed.text
    return list(changed.json()["ids"])
