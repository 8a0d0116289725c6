"""An action of another session, or of a page that is not ours, changes nothing."""

from uuid import uuid4

import pytest

from tests.web.actions import act, answered
from tests.web.visitor import Visitor

ON_A_CHAT = ["title", "delete", "restore", "settings"]
ON_AN_ANSWER = ["regenerate", "continue", "show", "delete", "stop"]


@pytest.mark.parametrize("verb", ON_A_CHAT)
async def test_a_chat_of_another_session_is_not_there(visitor: Visitor, other: Visitor, verb: str) -> None:
    chat, _ = await visitor.begin(), await other.begin()

    answer = await other.http.post(f"{chat}/{verb}", data={"title": "mine", "temperature": "1"})

    assert answer.status_code == 404
    assert (await visitor.http.get(chat)).status_code == 200
    assert [(await other.http.get(f"{chat}{path}")).status_code for path in ("", "/settings", "/list")] == [404] * 3


@pytest.mark.parametrize("verb", ON_AN_ANSWER)
async def test_a_message_of_another_session_is_not_there(visitor: Visitor, other: Visitor, verb: str) -> None:
    theirs, own = await visitor.begin(), await other.begin()
    done = await answered(visitor, theirs)
    before = await visitor.messages(theirs)

    await act(other, theirs, done["id"], verb, 404)
    await act(other, own, done["id"], verb, 404)
    await act(visitor, theirs, str(uuid4()), verb, 404)

    assert await visitor.messages(theirs) == before


@pytest.mark.parametrize("verb", [*ON_A_CHAT, *(f"messages/%s/{verb}" for verb in ON_AN_ANSWER)])
async def test_only_our_own_pages_may_act(visitor: Visitor, verb: str) -> None:
    chat = await visitor.begin()
    done = await answered(visitor, chat)
    before = await visitor.messages(chat)

    answer = await visitor.http.post(f"{chat}/{verb.replace('%s', done['id'])}", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert await visitor.messages(chat) == before
