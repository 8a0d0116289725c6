"""A session cannot access the chats of another session."""

import uuid

import httpx
import pytest

from tests.system.user import User

ACCEPTED = ["text/html", "text/plain", "text/event-stream", "application/json"]


def urls(chat: str, answer: str) -> list[tuple[str, str]]:
    views = [chat, f"{chat}.json", f"{chat}.md", f"{chat}.txt", f"{answer}/stream"]
    return [("GET", view) for view in views] + [("POST", f"{chat}/messages"), ("POST", f"{answer}/stop")]


@pytest.mark.parametrize("accept", ACCEPTED)
async def test_every_url_of_a_chat_is_404_for_another_session(ada: User, eve: User, accept: str) -> None:
    answer = (await ada.messages())[-1]
    mine = urls(ada.chat, f"{ada.chat}/messages/{answer['id']}")
    assert {await status(ada.http, "GET", path, accept) for method, path in mine if method == "GET"} == {200}
    nowhere = f"/chats/{uuid.uuid4()}"

    for (method, path), (_, missing) in zip(mine, urls(nowhere, f"{nowhere}/messages/{uuid.uuid4()}"), strict=True):
        refused = await request(eve.http, method, path, accept)
        assert refused.status_code == 404, path
        assert answer["content"] not in refused.text
        assert refused.text == (await request(eve.http, method, missing, accept)).text, (
            "the response does not reveal whether the chat exists"
        )

    assert [message["id"] for message in await ada.messages()] == [answer["id"]], "no message was added"


async def test_every_url_of_a_chat_is_404_without_a_cookie(ada: User, eve: User) -> None:
    answer = (await ada.messages())[-1]
    eve.http.cookies.clear()

    for method, path in urls(ada.chat, f"{ada.chat}/messages/{answer['id']}"):
        assert await status(eve.http, method, path, "text/html") == 404, path


async def test_the_same_user_name_in_another_session_opens_another_chat(ada: User, eve: User) -> None:
    chat = (await eve.http.post("/chats", data={"username": "Ada"})).headers["Location"]

    assert chat != ada.chat
    assert (await ada.http.post("/chats", data={"username": "Ada"})).headers["Location"] == ada.chat


async def test_a_form_from_another_site_changes_nothing(ada: User) -> None:
    for headers in ({"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        refused = await ada.http.post(f"{ada.chat}/messages", data={"content": "from elsewhere"}, headers=headers)
        assert refused.status_code == 403

    ada.http.headers.pop("Origin")
    assert (await ada.http.post(f"{ada.chat}/messages", data={"content": "from nowhere"})).status_code == 403
    assert len(await ada.messages()) == 1


async def request(http: httpx.AsyncClient, method: str, path: str, accept: str) -> httpx.Response:
    data = {"content": "Hello?"} if path.endswith("/messages") else None
    return await http.request(method, path, data=data, headers={"Accept": accept})


async def status(http: httpx.AsyncClient, method: str, path: str, accept: str) -> int:
    return (await request(http, method, path, accept)).status_code
