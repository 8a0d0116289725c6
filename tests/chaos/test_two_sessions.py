"""Two users at two replicas under random faults (Hypothesis): five properties hold for any sequence.

An accepted message is never lost; a message has one answer; no user sees another one's data; the order of a chat never
changes; and every answer ends with the text that the model wrote, or with a prefix of it.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

import httpx
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.chaos.conftest import ROUNDS
from tests.chaos.fault_injector import REPLICAS, FaultInjector
from tests.chaos.model_server import script, text
from tests.system.user import FINAL

STEPS = 16
ANSWERED_TWICE = (
    "SELECT FROM messages WHERE role = 'assistant' AND parent_id IS NOT NULL GROUP BY parent_id HAVING count(*) > 1"
)
MOST_FROZEN_SECONDS = 1.5
ENDS_SECONDS = 90.0  # for the last answer to end, on a slow machine
BOUNDED = settings(
    max_examples=3 * ROUNDS,
    stateful_step_count=STEPS,
    database=None,
    phases=[Phase.generate],  # real processes are not reproducible, so examples cannot shrink
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
HARMS = [(service, how) for service in (*REPLICAS, "dbapi-1") for how in (signal.SIGKILL, signal.SIGSTOP)] + [
    ("postgres", signal.SIGQUIT)
]
people, replicas = st.integers(0, 1), st.sampled_from((*REPLICAS, "nginx"))
harms, frozen_tenths = st.sampled_from(HARMS), st.integers(1, int(MOST_FROZEN_SECONDS * 10))


@dataclass
class Sent:
    content: str
    answer: str
    id: str = field(default_factory=lambda: str(uuid4()))
    is_accepted: bool = False
    may_stop: bool = False


class ChaosUser:
    """One session, at either replica."""

    def __init__(self, faults: FaultInjector) -> None:
        self.faults, self.sent, self.order = faults, list[Sent](), list[str]()
        self.cookies = httpx.Cookies()
        self.chat = self._begin()

    def ask(self, replica: str, method: str, path: str, **form: str) -> httpx.Response | None:
        """None without a response, or if the service is unavailable."""
        url = self.faults.origin if replica == "nginx" else self.faults.url(replica)
        try:
            with httpx.Client(
                base_url=url, headers={"Origin": url}, cookies=self.cookies, trust_env=False, timeout=10
            ) as http:
                answer = http.request(method, path, data=form or None)
        except httpx.HTTPError:
            return None
        assert answer.status_code < 500 or answer.status_code in (502, 503, 504), answer.text
        return None if answer.status_code >= 500 else answer

    def until(self, method: str, path: str, **form: str) -> httpx.Response:
        """Repeats the request until a replica can answer."""
        deadline = time.monotonic() + ENDS_SECONDS
        while time.monotonic() < deadline:
            if answer := self.ask("nginx", method, path, **form):
                return answer
            time.sleep(0.1)
        raise AssertionError(f"no replica answers {method} {path}")

    def messages(self, replica: str = "") -> list[Any] | None:
        answer = self.ask(replica, "GET", f"{self.chat}.json") if replica else self.until("GET", f"{self.chat}.json")
        if answer is None:
            return None
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["messages"]
        return found

    def _begin(self) -> str:
        answer = self.until("POST", "/chats", username=f"Ada {uuid4()}")
        self.cookies = answer.cookies
        return str(answer.headers["location"])


class Everybody(RuleBasedStateMachine):
    faults: ClassVar[FaultInjector]
    seen: ClassVar[Counter[str]]

    @initialize(harm=harms, tenths=frozen_tenths)
    def begin(self, harm: tuple[str, signal.Signals], tenths: int) -> None:
        """Each sequence has a fault, and answers that it meets."""
        self.people = [ChaosUser(self.faults), ChaosUser(self.faults)]
        for who in range(2):
            self.say(who, "nginx", 4, 10)
        self.harm(harm, tenths)

    @rule(who=people, replica=replicas, parts=st.integers(1, 8), tenths=st.integers(1, 20))
    def say(self, who: int, replica: str, parts: int, tenths: int) -> None:
        answer = text(parts)
        self.people[who].sent.append(Sent(script(answer, tenths / 10), answer))
        self._send(self.people[who], self.people[who].sent[-1], replica)

    @rule(who=people, replica=replicas, which=st.integers(0, 100))
    def say_again(self, who: int, replica: str, which: int) -> None:
        """Sends a message again, after a lost response or by mistake."""
        if sent := self.people[who].sent:
            self._send(self.people[who], sent[which % len(sent)], replica)

    @rule(who=people, replica=replicas)
    def stop(self, who: int, replica: str) -> None:
        user = self.people[who]
        live = [message for message in user.messages(replica) or [] if message["status"] not in FINAL]
        if live:
            for sent in user.sent:
                sent.may_stop = True
            user.ask(replica, "POST", f"{user.chat}/messages/{live[0]['id']}/stop")
            self.seen["stopped"] += 1

    @rule(who=people, replica=replicas)
    def read(self, who: int, replica: str) -> None:
        self._check(self.people[who], self.people[who].messages(replica))

    @rule(who=people, replica=replicas)
    def snoop(self, who: int, replica: str) -> None:
        me, them = self.people[who], self.people[1 - who]
        theirs = them.messages(replica) or []
        paths = [
            them.chat,
            f"{them.chat}.json",
            *(f"{them.chat}/messages/{message['id']}/stream" for message in theirs[:2]),
        ]
        for path in paths:
            answer = me.ask(replica, "GET", path)
            assert answer is None or answer.status_code == 404, path
            self.seen["snooped"] += answer is not None
        refused = me.ask(replica, "POST", f"{them.chat}/messages", content="mine", message_id=str(uuid4()))
        assert refused is None or refused.status_code == 404

    @rule(harm=harms, tenths=frozen_tenths)
    def harm(self, harm: tuple[str, signal.Signals], tenths: int) -> None:
        """Kills a process, freezes it for a moment, or lets PostgreSQL crash."""
        service, how = harm
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it is down already
            pid = self.faults.pid(service)
            os.kill(pid, how)
            self.seen[f"{service} {how.name}"] += 1
            if how == signal.SIGSTOP:
                time.sleep(tenths / 10)
                os.kill(pid, signal.SIGCONT)

    @rule(tenths=st.integers(1, 15))
    def wait(self, tenths: int) -> None:
        time.sleep(tenths / 10)

    def teardown(self) -> None:
        if not hasattr(self, "people"):
            return
        for user in self.people:
            for sent in user.sent:
                answer = user.until("POST", f"{user.chat}/messages", content=sent.content, message_id=sent.id)
                assert answer.status_code == 303, answer.text
                sent.is_accepted = True
            messages = self._ended(user)
            self._check(user, messages)
            self._compare(user, messages)

    # Helpers

    def _send(self, user: ChaosUser, sent: Sent, replica: str) -> None:
        answer = user.ask(replica, "POST", f"{user.chat}/messages", content=sent.content, message_id=sent.id)
        self.seen["sent" if answer else "unheard"] += 1
        if answer:
            assert answer.status_code == 303, answer.text
            sent.is_accepted = True

    def _check(self, user: ChaosUser, messages: list[Any] | None) -> None:
        """Every accepted message exists once, in its former position, and has one answer."""
        if messages is None:
            return
        ids = [message["id"] for message in messages]
        assert ids[: len(user.order)] == user.order
        user.order = ids
        questions = [message["content"] for message in messages if message["role"] == "user"]
        assert len(questions) == len(set(questions))
        assert (
            {sent.content for sent in user.sent if sent.is_accepted}
            <= set(questions)
            <= {sent.content for sent in user.sent}
        )
        for question, answer in zip(messages[1::2], messages[2::2], strict=True):
            assert (question["role"], answer["role"], answer["parent_id"]) == ("user", "assistant", question["id"])

    def _ended(self, user: ChaosUser) -> list[Any]:
        deadline = time.monotonic() + ENDS_SECONDS
        while time.monotonic() < deadline:
            messages = user.messages() or []
            if all(message["status"] in FINAL for message in messages):
                return messages
            time.sleep(0.1)
        raise AssertionError(f"{[message['status'] for message in messages]} never ended")

    def _compare(self, user: ChaosUser, messages: list[Any]) -> None:
        answers = {question["content"]: answer for question, answer in zip(messages[1::2], messages[2::2], strict=True)}
        assert answers.keys() == {sent.content for sent in user.sent}
        for sent in user.sent:
            got = answers[sent.content]
            self.seen[got["status"]] += 1
            if got["status"] == "complete":
                assert got["content"] == sent.answer
            else:
                assert sent.answer.startswith(got["content"])
                assert got["status"] == "failed" or sent.may_stop
                assert got["status"] == "stopped" or got["error"]


@pytest.fixture
def seen() -> Iterator[Counter[str]]:
    seen: Counter[str] = Counter()
    yield seen
    print(f"\ntwo sessions, two replicas, one nemesis: {dict(seen)}")


def test_two_sessions_stay_exact_under_any_sequence_of_faults(faults: FaultInjector, seen: Counter[str]) -> None:
    Everybody.faults, Everybody.seen = faults, seen
    random.seed()  # names of texts must differ from those of other runs, whatever Hypothesis has seeded

    run_state_machine_as_test(Everybody, settings=BOUNDED)

    twice = asyncio.run(faults.query(f"SELECT count(*) FROM ({ANSWERED_TWICE}) x"))
    assert twice == 0
    assert seen["sent"] >= ROUNDS
    assert seen["complete"] >= ROUNDS
    assert sum(count for what, count in seen.items() if "SIG" in what) >= ROUNDS
