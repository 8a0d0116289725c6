"""Start and stop of the whole system."""

import os
import re

import pytest

from dev.rundir import is_alive
from tests.system.running import Runnel
from tests.system.user import User

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks for processes in /proc")


async def test_prints_ready_once_and_chats_work_at_that_address(runnel: Runnel, ada: User) -> None:
    lines = re.findall("^ready: .*$", runnel.dev.text, re.MULTILINE)

    answer = await ada.ended(await ada.say("Say hello."))

    assert lines == [f"ready: {runnel.origin}"]
    assert answer["status"] == "complete"
    assert answer["content"]
    assert sorted(file.stem for file in runnel.dev.run.glob("*.pid")) == [
        "dbapi-1",
        "llama",
        "nginx",
        "postgres",
        "web-1",
    ]


async def test_sigterm_leaves_no_process_and_a_second_start_keeps_the_chats(runnel: Runnel, ada: User) -> None:
    await ada.ended(await ada.say("Name a colour."))
    before, first = await ada.messages(), runnel.dev.process.pid
    family = runnel.processes()
    assert len(family) > 10, "the supervisor, five services and their children"

    code = runnel.stop()
    left = {name for pid, name in family.items() if is_alive(pid)}
    runnel.start()

    assert code == 0
    assert left == set()
    assert runnel.dev.process.pid != first
    assert await ada.messages() == before
    assert (await ada.http.get("/")).text.count(ada.chat) == 1, "the same cookie opens the same session"
