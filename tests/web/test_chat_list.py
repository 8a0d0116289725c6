"""The sidebar with chats: running answers, renaming, deleting, restoring."""

from tests.web.actions import RUNNING, finished_answer, user_messages
from tests.web.visitor import Visitor


async def test_renaming_a_chat_changes_its_title_everywhere(visitor: Visitor) -> None:
    chat = await visitor.begin()

    answer = await visitor.http.post(f"{chat}/title", data={"title": "  Bread \n and <b>butter</b> "})

    page = await visitor.page(chat)
    assert (answer.status_code, answer.headers["location"]) == (303, chat)
    assert page.select("#title").text == "Bread and <b>butter</b>"
    assert page.select("#chats .chats a span").text == "Bread and <b>butter</b>"
    assert (await visitor.http.post(f"{chat}/title", data={"title": "x" * 201})).status_code == 422


async def test_a_deleted_chat_can_be_restored(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await finished_answer(visitor, chat, "kept")

    home = await visitor.http.post(f"{chat}/delete", follow_redirects=True)
    gone = await visitor.http.get(chat)
    back = await visitor.http.post(f"{chat}/restore")

    assert f'action="{chat}/restore"' in home.text
    assert gone.status_code == 404
    assert (back.status_code, back.headers["location"]) == (303, chat)
    assert user_messages(await visitor.page(chat)) == ["kept"]


async def test_the_sidebar_marks_the_current_chat_and_running_answers(visitor: Visitor) -> None:
    quiet, busy = await visitor.begin(), await visitor.begin(new="1")
    await visitor.say(busy, RUNNING)

    page = await visitor.page(quiet)

    links = page.select("#chats .chats").matching("a")
    assert [link.attributes["href"] for link in links] == [busy, quiet]
    assert [link.attributes.get("aria-current") for link in links] == [None, "page"]
    assert [bool(link.matching(".running")) for link in links] == [True, False]
