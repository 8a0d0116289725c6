"""The list of chats beside a chat: what runs is seen in it, and a chat is renamed, deleted and brought back."""

from tests.web.actions import RUNNING, answered, said
from tests.web.visitor import Visitor


async def test_a_chat_is_renamed_in_its_list_and_everywhere(visitor: Visitor) -> None:
    chat = await visitor.begin()

    answer = await visitor.http.post(f"{chat}/title", data={"title": "  Bread \n and <b>butter</b> "})

    page = await visitor.page(chat)
    assert (answer.status_code, answer.headers["location"]) == (303, chat)
    assert page.select("#title").text == "Bread and <b>butter</b>"
    assert page.select("#chats .chats a span").text == "Bread and <b>butter</b>"
    assert (await visitor.http.post(f"{chat}/title", data={"title": "x" * 201})).status_code == 422


async def test_a_deleted_chat_is_gone_and_comes_back_with_undo(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await answered(visitor, chat, "kept")

    home = await visitor.http.post(f"{chat}/delete", follow_redirects=True)
    gone = await visitor.http.get(chat)
    back = await visitor.http.post(f"{chat}/restore")

    assert f'action="{chat}/restore"' in home.text
    assert gone.status_code == 404
    assert (back.status_code, back.headers["location"]) == (303, chat)
    assert said(await visitor.page(chat)) == ["kept"]


async def test_the_list_beside_the_chat_marks_where_one_is_and_what_runs(visitor: Visitor) -> None:
    quiet, busy = await visitor.begin(), await visitor.begin(new="1")
    await visitor.say(busy, RUNNING)

    page = await visitor.page(quiet)

    links = page.select("#chats").matching("a")
    assert [link.attributes["href"] for link in links] == [busy, quiet]
    assert [link.attributes.get("aria-current") for link in links] == [None, "page"]
    assert [bool(link.matching(".running")) for link in links] == [True, False]
