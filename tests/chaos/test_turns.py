"""A message that is sent repeatedly is one turn."""

import asyncio
from uuid import uuid4

import pytest

from tests.chaos.conftest import ROUNDS
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.model_server import script, text
from tests.system.user import User


@pytest.mark.parametrize("moment", range(ROUNDS))
async def test_a_message_posted_ten_times_at_once_is_one_turn(faults: FaultInjector, ada: User, moment: int) -> None:
    answer = text(4)
    form = {"content": script(answer, 0.3), "message_id": str(uuid4())}
    async with faults.at(ada, "web-1") as one, faults.at(ada, "web-2") as two:
        answers = await asyncio.gather(*(http.post(f"{ada.chat}/messages", data=form) for http in (one, two) * 5))

    assert {answer.status_code for answer in answers} == {303}
    (place,) = {answer.headers["Location"] for answer in answers}
    path = f"{ada.chat}/messages/{place.partition('#message-')[2]}"
    await faults.exact(ada, path, answer)
    assert [message["content"] for message in await ada.messages()][1:] == [form["content"], answer]
    assert len(await faults.model.requests_of(form["content"])) == 1
