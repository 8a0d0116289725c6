"""Any OpenAI-compatible model server: an answer ends exact, or failed with a reason, after at most five requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fake_llama.oddities import JSON, OddServer, Replies, Reply, piece
from tests.stack import Cluster, Service, Stack, run, running_stack, until
from tests.web.odd_replies import GOOD, ODDITIES, TEXT, openai, refused, refuses
from tests.web.visitor import SECRETS, Visitor


@pytest.fixture(scope="module")
async def odd_server() -> AsyncIterator[OddServer]:
    async with OddServer({name: replies for name, (replies, _) in ODDITIES.items()}).running() as server:
        yield server


@pytest.fixture(scope="module")
async def odd_web(stack: Stack, odd_server: OddServer) -> AsyncIterator[Service]:
    patience = {"FIRST_TOKEN_SECONDS": "2", "TOKEN_SECONDS": "1", "UNREACHABLE_SECONDS": "5"}
    web = await stack.web(LLAMA_URL=odd_server.url, LLAMA_SLOTS="100", MAX_TOKENS="1000", **patience)
    yield web
    await stack.leave(web)


@pytest.fixture
async def odd_visitor(odd_web: Service) -> AsyncIterator[Visitor]:
    visitor = Visitor(odd_web)
    yield visitor
    await visitor.leave()


@pytest.mark.parametrize("name", ODDITIES)
async def test_an_odd_server_is_shown_or_refused_aloud(odd_visitor: Visitor, odd_server: OddServer, name: str) -> None:
    expected, requests = ODDITIES[name][1], odd_server.bodies[name]
    chat = await odd_visitor.begin(new="1", model=name)

    ended = await odd_visitor.ended(chat, await odd_visitor.say(chat, name), 60)

    found = (ended["status"], ended["content"], ended["reasoning"], len(requests))
    assert found == (expected.status, expected.content, expected.reasoning, expected.requests), ended["error"]
    assert expected.error in (ended["error"] or "")
    page = await odd_visitor.page(chat)
    if ended["error"]:
        assert page.select(f"#message-{ended['id']}-footer .outcome").text == ended["error"]
    assert not any(secret in page.outer for secret in (*SECRETS, "sk-1"))


OUTCOMES = {
    "content_filter": ("A content filter", True),
    "SAFETY": ("A content filter", True),
    "max_tokens": ("maximum length", True),
    "tool_calls": ("asked for a tool", False),
    "insufficient_system_resource": ("ended the answer early", True),
}


@pytest.mark.parametrize("reason", OUTCOMES)
async def test_an_early_end_is_explained(odd_visitor: Visitor, reason: str) -> None:
    sentence, can_continue = OUTCOMES[reason]
    chat = await odd_visitor.begin(new="1")

    ended = await odd_visitor.ended(chat, await odd_visitor.say(chat, reason))

    footer = (await odd_visitor.page(chat)).select(f"#message-{ended['id']}-footer")
    assert sentence in footer.select(".outcome").text
    assert ("Continue" in footer.text) == can_continue


async def test_thoughts_are_not_sent_back(odd_visitor: Visitor, odd_server: OddServer) -> None:
    chat = await odd_visitor.begin(new="1")
    await odd_visitor.ended(chat, await odd_visitor.say(chat, "tags"))

    await odd_visitor.ended(chat, await odd_visitor.say(chat, "no DONE"))

    sent = odd_server.bodies["no DONE"][-1]["messages"]
    assert [message["content"] for message in sent][-3:] == ["tags", TEXT, "no DONE"]


async def test_what_a_model_does_not_know_is_left_out_from_then_on(odd_visitor: Visitor, odd_server: OddServer) -> None:
    chat = await odd_visitor.begin(new="1", model="learner")
    first = await odd_visitor.ended(chat, await odd_visitor.say(chat, "unknown max_tokens"))
    before = len(odd_server.bodies["unknown max_tokens"])

    second = await odd_visitor.ended(chat, await odd_visitor.say(chat, "unknown max_tokens"))

    assert (first["content"], second["content"]) == (TEXT, TEXT)
    (request,) = odd_server.bodies["unknown max_tokens"][before:]
    assert request["max_completion_tokens"] > 0
    assert "max_tokens" not in request


async def test_the_page_tells_until_when_a_busy_server_is_waited_for(stack: Stack) -> None:
    async with OddServer({"Why?": [refused(429, openai("slow down"), Retry_After="8"), GOOD]}).running() as server:
        web = await stack.web(LLAMA_URL=server.url)
        visitor = Visitor(web)
        chat = await visitor.begin(new="1")
        message = await visitor.say(chat, "Why?")
        await until(lambda: server.bodies["Why?"])
        page = await visitor.page(chat)

        notices = set()
        async with visitor.following(page, message) as watched:
            async for _ in watched.steps(page):
                notices.add(page.select(f"#message-{message}-footer").text.strip())

        assert any("The model server is busy. The answer continues at" in notice for notice in notices)
        assert (await visitor.message(chat, message))["content"] == TEXT
        await visitor.leave()
        await stack.leave(web)


async def test_a_refusal_is_in_the_log_without_keys_and_addresses(odd_visitor: Visitor, odd_web: Service) -> None:
    chat, before = await odd_visitor.begin(new="1"), odd_web.logged

    await odd_visitor.ended(chat, await odd_visitor.say(chat, "401"))

    (line,) = [line for line in odd_web.lines(before) if line["logger"] == "web.llama"]
    assert line["words"] == "HTTP 401: Incorrect API key provided: … (invalid_request_error)"


def has_length(items: list[Any], length: int) -> bool:
    return len(items) == length


async def test_requests_are_counted_over_all_processes(cluster: Cluster, tmp_path: Path) -> None:
    """A process that dies with each request cannot make its successors ask for ever."""
    environ = {"LLAMA_SLOTS": "100", "LEASE_SECONDS": "1", "RENEW_SECONDS": "0.3"}
    replies = [Reply(piece("1" * length), end="open") for length in range(1, 6)]
    async with (
        OddServer({"Why?": replies}).running() as server,
        running_stack(cluster, tmp_path) as stack,
    ):
        web, requests = await stack.web(LLAMA_URL=server.url, **environ), server.bodies["Why?"]
        visitor = Visitor(web)
        chat = await visitor.begin(new="1")
        message = await visitor.say(chat, "Why?")
        for number in range(1, 6):
            await until(partial(has_length, requests, number), web.log_tail)
            await visitor.written(chat, message, characters=number)  # each answer replaces the one before
            await web.kill()
            await web.start()

        ended = await visitor.ended(chat, message)

        assert (ended["status"], ended["content"], len(requests)) == ("failed", "11111", 5)
        assert "several times" in ended["error"]
        await visitor.leave()


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("", "/v1"),
        ("/v1/", "/v1"),
        ("/api", "/api/v1"),
        ("/api/v1", "/api/v1"),
        ("/openai/v1beta", "/openai/v1beta"),
        ("/v1beta/openai", "/v1beta/openai"),
        ("/api/paas/v4", "/api/paas/v4"),
        ("/v1/chat/completions", "/v1"),
    ],
)
@pytest.mark.parametrize("lists_models", [True, False])
async def test_the_api_is_found_below_the_address(stack: Stack, given: str, base: str, lists_models: bool) -> None:
    models = None if lists_models else Reply(b"no", 404, "text/plain")
    async with OddServer({"Why?": [GOOD]}, base, models).running() as server:
        web = await stack.web(LLAMA_URL=server.url + given)
        visitor = Visitor(web)
        chat = await visitor.begin(new="1")

        ended = await visitor.ended(chat, await visitor.say(chat, "Why?"))

        assert (ended["status"], ended["content"]) == ("complete", TEXT), ended["error"]
        assert not [path for path in server.paths if path.endswith(("/health", "/props")) or "/stream" in path]
        await visitor.leave()
        await stack.leave(web)


async def test_a_server_that_is_not_llama_cpp_is_left_alone(odd_web: Service, odd_server: OddServer) -> None:
    """Nothing is asked of it that only llama.cpp has, and nothing at all while no one waits."""
    await until(odd_web.is_ready)
    before = len(odd_server.paths)

    await asyncio.sleep(6)  # llama.cpp is asked every 5 s

    assert len(odd_server.paths) == before
    assert {path.partition(" ")[2] for path in odd_server.paths} == {"/v1/models", "/v1/chat/completions"}


@pytest.mark.parametrize(
    ("listed", "sent"), [(["a"], "a"), (["text-embedding-3", "b", "c"], "b"), ([], None), (["bge-embed"], "bge-embed")]
)
async def test_a_model_is_named_if_the_server_lists_any(stack: Stack, listed: list[str], sent: str | None) -> None:
    models = Reply(json.dumps({"data": [{"id": name} for name in listed]}).encode(), kind=JSON)
    async with OddServer({"Why?": [GOOD]}, models=models).running() as server:
        web = await stack.web(LLAMA_URL=server.url)
        visitor = Visitor(web)
        chat = await visitor.begin(new="1")

        await visitor.ended(chat, await visitor.say(chat, "Why?"))

        assert server.bodies["Why?"][0].get("model") == sent
        assert "embedding" not in (await visitor.page("/")).outer
        await visitor.leave()
        await stack.leave(web)


@pytest.mark.parametrize(
    ("replies", "line"),
    [
        ([GOOD], "web: ok: the model server answers at /v1/chat/completions\n"),
        (refuses("max_tokens", "max_tokens: unknown"), "answers at /v1/chat/completions, without max_tokens"),
        ([refused(402, openai("Insufficient credits"))], "web: ERROR: the model server gave no answer of one token"),
        ([refused(400, openai("no such thing"))], "no such thing"),
    ],
)
async def test_the_doctor_requests_an_answer_of_one_token(stack: Stack, replies: Replies, line: str) -> None:
    async with OddServer({"Hi": replies}).running() as server:
        _, output = await run("web", "check", **(stack.web_environ | {"LLAMA_URL": server.url}))

    assert line in output
    assert server.bodies["Hi"][0]["max_tokens"] == 1


async def test_the_doctor_reports_a_proxy_that_is_not_used(stack: Stack) -> None:
    environ = {"LLAMA_URL": "https://model.invalid/v1", "HTTPS_PROXY": "http://127.0.0.1:9"}

    _, output = await run("web", "check", **(stack.web_environ | environ))

    assert "warning: HTTPS_PROXY is set, but requests to the model server do not use a proxy" in output


def test_the_table_has_many_oddities() -> None:
    assert len(ODDITIES) >= 60
