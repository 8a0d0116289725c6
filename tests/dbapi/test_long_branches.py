"""A branch has a limit, since it is read as a whole."""

from typing import Any

from dbapi.turns import MAX_BRANCH_CODE_POINTS
from tests.dbapi.calls import LEASE_SECONDS, answered, new_chat
from tests.dbapi.conftest import Api


async def test_a_chat_that_no_model_can_read_is_not_continued(api: Api, owner: Any, idle_log: None) -> None:
    chat = await new_chat(api)
    turn = await answered(api, chat)
    path, new = f"/chats/{chat['id']}/turns", {"content": "And then?"}
    claim = {"owner": "test", "slots": 1000, "lease": LEASE_SECONDS}
    await owner.execute(
        "UPDATE messages SET content = repeat('x', $2) WHERE id = $1", turn["assistant"]["id"], MAX_BRANCH_CODE_POINTS
    )

    refused = await api.post(path, json=new | {"claim": claim})
    shown = (await api.get(f"/chats/{chat['id']}", params={"last": 1})).json()["messages"]
    before = await api.post(path, json=new | {"claim": claim, "parent_id": chat["tip_id"]})

    assert refused.status_code == 413
    assert "start a new one" in refused.json()["detail"]
    assert [message["id"] for message in shown] == [turn["assistant"]["id"]], "nothing was stored"
    assert before.status_code == 201, "an earlier branch can be continued"
