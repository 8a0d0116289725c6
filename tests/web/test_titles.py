"""Titles from the model: one request a chat, with the prompt of its answer, when no answer needs the model."""

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Cluster, Service, Stack, running_stack, until
from tests.web.actions import finished_answer
from tests.web.visitor import Model, Visitor, unique
from web.generation.prompt import ASK_FOR_TITLE, completion_request, title_request
from web.generation.prompt import Model as ModelServer
from web.generation.title_text import title_in
from web.generation.titles import MAX_TOKENS

TITLE = {"text": "Reasons for things"}
# Scripts, since any other message gets the answer that the message before it names as the next one
THEN, NOW = {"text": "Then."}, {"text": "Now."}


@pytest.fixture(scope="module")
async def titling_web(stack: Stack) -> AsyncIterator[Service]:
    web = await stack.web(TITLES="on")
    yield web
    await stack.leave(web)  # it might continue answers of other tests


@pytest.fixture
async def titled(web: Service, titling_web: Service, visitors: Callable[..., Visitor]) -> Visitor:
    """A visitor of a process that requests titles."""
    visitor: Visitor = visitors(titling_web)
    return visitor


@pytest.fixture
async def narrow(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack that requests titles, and whose model writes one answer at a time."""
    async with running_stack(cluster, tmp_path, slots=1) as stack:
        await stack.web(TITLES="on")
        yield stack


@pytest.fixture
async def narrow_model(narrow: Stack) -> AsyncIterator[Model]:
    model = Model(narrow.llama)
    yield model
    await model.http.aclose()


async def title_of(visitor: Visitor, chat: str) -> str:
    return str((await visitor.http.get(f"{chat}.json")).json()["title"])


async def gets_title(visitor: Visitor, chat: str, title: str) -> None:
    async def has_title() -> bool:
        return await title_of(visitor, chat) == title

    await until(has_title, visitor.web.log_tail)


async def requested(model: Model, count: int = 1) -> list[Any]:
    """Waits for this many requests for a title; returns them."""

    async def are_there() -> Any:
        found = await model.requests(ASK_FOR_TITLE)
        return found if len(found) >= count else None

    found: list[Any] = await until(are_there)
    assert len(found) == count
    return found


async def resulted(web: Service, before: int, result: str) -> None:
    """Waits until the process has logged this result of a title."""
    await until(lambda: result in [line.get("result") for line in web.lines(before)], web.log_tail)


def sent(messages: Any) -> bytes:
    """As in a request, without the closing bracket."""
    return json.dumps(messages, ensure_ascii=False).encode()[:-1]


async def test_the_request_for_a_title_continues_the_prompt_of_the_answer(titled: Visitor, model: Model) -> None:
    """And so does the next answer: the model server finds both in its cache."""
    chat, question = await titled.begin(), {"text": unique("Because."), "next": TITLE}
    await finished_answer(titled, chat, question)
    await gets_title(titled, chat, "Reasons for things")
    await finished_answer(titled, chat, THEN)
    await finished_answer(titled, chat, NOW)

    (answer,), (title,) = await model.requests(question), await requested(model)
    (following,) = await model.requests(THEN)

    assert sent(title["messages"]).startswith(sent(answer["messages"]))
    assert sent(following["messages"]).startswith(sent(title["messages"][:-1]))
    assert title["messages"][-2:] == [
        {"role": "assistant", "content": question["text"]},
        {"role": "user", "content": ASK_FOR_TITLE},
    ]
    assert title["max_tokens"] == MAX_TOKENS
    parameters = [{**body, "messages": None, "max_tokens": None} for body in (title, answer)]
    assert parameters[0] == parameters[1]


async def test_the_request_has_the_parameters_of_the_chat(titled: Visitor, model: Model) -> None:
    chat = await titled.begin()
    settings = {"system_prompt": "Rhyme.", "temperature": "0.1", "max_tokens": "500"}
    await titled.http.post(f"{chat}/settings", data=settings)
    await finished_answer(titled, chat, {"text": "Because.", "next": TITLE})

    (title,) = await requested(model)

    assert (title["temperature"], title["max_tokens"]) == (0.1, MAX_TOKENS)
    assert title["messages"][0] == {"role": "system", "content": "Rhyme."}


def test_the_request_begins_where_a_long_prompt_was_cut() -> None:
    texts = [{"role": role, "content": "word " * 300} for _ in range(20) for role in ("user", "assistant")]
    prompt: Any = {"system_prompt": "Be brief.", "messages": [*texts, {"role": "user", "content": "Why?"}]}
    server = ModelServer("", 1000, 4096, True)
    for scale in (1.0, 1.7):
        answer, _ = completion_request({}, prompt, "", server, scale)
        title, _ = title_request({}, prompt, "Because. " * 100, server, scale, MAX_TOKENS)

        messages: Any = answer["messages"]
        assert 2 < len(messages) < len(texts)
        assert title["messages"][:-2] == messages  # type: ignore[index]


async def test_thinking_is_disabled_for_a_model_that_thinks(titled: Visitor, model: Model) -> None:
    thinking, plain = await titled.begin(new="1"), await titled.begin(new="1")
    await finished_answer(titled, thinking, {"reasoning": "Hm.", "text": "Because.", "next": TITLE})
    (first,) = await requested(model)
    await finished_answer(titled, plain, {"text": "Because.", "next": TITLE})
    second = (await requested(model, 2))[1]

    assert first["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in second


async def test_a_tiny_model_writes_no_titles_unless_it_is_asked_to(cluster: Cluster, tmp_path: Path) -> None:
    async with running_stack(cluster, tmp_path, n_params=135_000_000) as stack:
        auto, asking = Visitor(await stack.web(TITLES="auto")), Visitor(await stack.web(TITLES="on"))
        model = Model(stack.llama)
        for visitor in (auto, asking):
            await finished_answer(visitor, await visitor.begin())

        await requested(model)

        await auto.leave()
        await asking.leave()
        await model.http.aclose()


async def test_titles_can_be_switched_off(visitor: Visitor, titled: Visitor, model: Model) -> None:
    chat = await visitor.begin()
    await finished_answer(visitor, chat, {"text": "Because.", "next": TITLE})
    await finished_answer(visitor, chat, THEN)
    other = await titled.begin()
    await finished_answer(titled, other, {"text": "Because.", "next": TITLE})
    await gets_title(titled, other, "Reasons for things")

    assert len(await model.requests(ASK_FOR_TITLE)) == 1, "only the other process requests titles"
    assert (await title_of(visitor, chat)).startswith('{"text"')


async def test_the_title_of_the_user_stays_if_it_comes_first(titled: Visitor, model: Model) -> None:
    chat, before = await titled.begin(), titled.web.logged
    slow = {"text": "Reasons for things", "delay_ms": 300}
    await finished_answer(titled, chat, {"text": "Because.", "next": slow})
    await requested(model)

    await titled.http.post(f"{chat}/title", data={"title": "Mine"})

    await until(lambda: [line for line in titled.web.lines(before) if line["message"] == "title"])
    await finished_answer(titled, chat, THEN)
    assert await title_of(titled, chat) == "Mine"
    await requested(model)


async def test_another_answer_of_the_chat_ends_the_request(titled: Visitor, model: Model) -> None:
    chat, before = await titled.begin(), titled.web.logged
    slow = {"text": "Reasons for things", "delay_ms": 1000}
    await finished_answer(titled, chat, {"text": "Because.", "next": slow})
    await requested(model)

    await finished_answer(titled, chat, THEN)

    await resulted(titled.web, before, "lost")
    await finished_answer(titled, chat, NOW)
    await requested(model)
    assert (await title_of(titled, chat)).startswith('{"text"')


async def test_an_answer_does_not_wait_for_a_title(narrow: Stack, narrow_model: Model) -> None:
    web = narrow.services[-1]
    visitor, other, before = Visitor(web), Visitor(web), web.logged
    chat, slow = await visitor.begin(), {"tokens": ["Reasons "] * 40, "delay_ms": 1000}
    await finished_answer(visitor, chat, {"text": "Because.", "next": slow})
    await requested(narrow_model)

    await finished_answer(other, await other.begin(), {"text": "At once."})

    assert (await narrow_model.counters())["cancelled"] == 1, "the title would have taken 40 s"
    await resulted(web, before, "lost")
    for each in (visitor, other):
        await each.leave()


async def test_no_title_is_requested_while_an_answer_waits(narrow: Stack, narrow_model: Model) -> None:
    visitor, other = [Visitor(narrow.services[-1]) for _ in range(2)]
    chat, waiting = await visitor.begin(), await other.begin()
    first = await visitor.say(chat, {"text": "one two three four", "delay_ms": 150, "next": {"text": "First"}})
    second = await other.say(waiting, {"text": "five", "next": {"text": "Second"}})
    await visitor.ended(chat, first)
    await other.ended(waiting, second)

    await gets_title(other, waiting, "Second")
    assert len(await narrow_model.requests(ASK_FOR_TITLE)) == 1
    await finished_answer(visitor, chat, {"text": "six", "next": {"text": "Later"}})
    await gets_title(visitor, chat, "Later")
    for each in (visitor, other):
        await each.leave()


async def test_a_killed_process_loses_a_title_but_no_process_requests_another(
    stack: Stack, web: Service, titled: Visitor, visitors: Callable[..., Visitor], model: Model
) -> None:
    doomed = await stack.web(TITLES="on")
    there = visitors(doomed)
    chat = await there.begin()
    await finished_answer(there, chat, {"text": "Because.", "next": {"text": "Lost", "hang_after": 0}})
    await requested(model)
    await doomed.kill()
    stack.services.remove(doomed)

    there.web, there.http.base_url = titled.web, titled.web.url
    for content in (THEN, NOW):
        await finished_answer(there, chat, content)

    await requested(model)
    assert (await title_of(there, chat)).startswith('{"text"')


@pytest.mark.parametrize("reply", [{"text": "***"}, {"text": "word " * 200}, {"text": "", "reasoning": "Hm."}])
async def test_a_reply_that_is_no_title_is_dropped(titled: Visitor, model: Model, reply: Any) -> None:
    chat, before = await titled.begin(), titled.web.logged

    await finished_answer(titled, chat, {"text": "Because.", "next": reply})

    await resulted(titled.web, before, "unusable")
    assert (await title_of(titled, chat)).startswith('{"text"')


@pytest.mark.parametrize("fault", [{"status": 500}, {"error_after": 1}, {"rst_after": 1}])
async def test_a_failed_request_is_not_repeated(titled: Visitor, model: Model, fault: Any) -> None:
    chat, before = await titled.begin(), titled.web.logged

    await finished_answer(titled, chat, {"text": "Because.", "next": TITLE | fault})

    await until(lambda: [line for line in titled.web.lines(before) if line["message"] == "title"], titled.web.log_tail)
    await finished_answer(titled, chat, THEN)
    await requested(model)
    assert (await title_of(titled, chat)).startswith('{"text"')


async def test_a_stopped_answer_leads_to_no_title(titled: Visitor, model: Model) -> None:
    chat = await titled.begin()
    message = await titled.say(chat, {"text": "one two three", "hang_after": 2, "next": TITLE})
    await titled.written(chat, message)
    await titled.stop(chat, message)
    await titled.ended(chat, message)
    assert await model.requests(ASK_FOR_TITLE) == []

    await finished_answer(titled, chat, {"text": "Because.", "next": TITLE})

    await gets_title(titled, chat, "Reasons for things")


async def test_temporary_chats_get_no_title(titled: Visitor, model: Model) -> None:
    temporary, other = await titled.begin(temporary="1"), await titled.begin(new="1")
    await finished_answer(titled, temporary, {"text": "Because.", "next": TITLE})
    await finished_answer(titled, temporary, THEN)
    await finished_answer(titled, other, {"text": "Because.", "next": TITLE})
    await gets_title(titled, other, "Reasons for things")

    assert len(await model.requests(ASK_FOR_TITLE)) == 1


async def test_the_log_says_what_became_of_a_title_but_not_what_it_is(titled: Visitor) -> None:
    chat, word, before = await titled.begin(), unique("secret"), titled.web.logged

    await finished_answer(titled, chat, {"text": word, "next": {"text": word}})

    await gets_title(titled, chat, word)
    await resulted(titled.web, before, "stored")
    assert word not in json.dumps(titled.web.lines(before))


@pytest.mark.parametrize(
    ("reply", "title"),
    [
        ("Plain words", "Plain words"),
        ("  Plain words.\n", "Plain words"),
        ("And so on...", "And so on..."),
        ('"In quotes."', "In quotes"),
        ("“Curly”.", "Curly"),
        ("«Кавычки»", "Кавычки"),
        ("「東京の天気」", "東京の天気"),
        ('"One" and "two"', '"One" and "two"'),
        ("**Bold** and *slanted*", "Bold and slanted"),
        ("# Heading", "Heading"),
        ("1. First", "First"),
        ("- An item", "An item"),
        ("`web/messages.py` in snake_case_names", "web/messages.py in snake_case_names"),
        ("__Bold__ and _slanted_", "Bold and slanted"),
        ("See [the docs](https://example.org/a)", "See the docs"),
        ("Title: Bread and butter", "Bread and butter"),
        ('**Title:** "Bread and butter"', "Bread and butter"),
        ('"Titel: Brot"', "Brot"),
        ("Here is a title:\n\nBread and butter", "Bread and butter"),
        ("Bread and butter\n\nThis title is short.", "Bread and butter"),
        ("\n\n  Bread  \t and   butter \n", "Bread and butter"),
        ("<b>Bread</b> & butter", "<b>Bread</b> & butter"),
        ("خبز\u202e وزبدة", "خبز وزبدة"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d👧 and x", "👩\u200d👧 and x"),
        ("2 * 3 = 6", "2 * 3 = 6"),
        ("word " * 40, "word " * 14 + "word…"),
        ("x" * 100, "x" * 79 + "…"),
        ("", ""),
        (" \n\u200b\n", ""),
        ("...", ""),
        ("🙂", ""),
        ("A title:", ""),
        ("<think>I should", ""),
        ("<|im_end|>", ""),
        ('{"title": "Bread"}', ""),
    ],
)
def test_a_title_is_one_line_of_plain_text(reply: str, title: str) -> None:
    assert title_in(reply) == title


def test_a_line_that_was_cut_off_is_no_title() -> None:
    assert title_in("The conversation is about the", is_cut_off=True) == ""
    assert title_in("Bread and butter\nThis is a", is_cut_off=True) == "Bread and butter"


@pytest.mark.parametrize("reply", ["*" * 5000, "_a" * 3000, "[" * 5000, "`a*" * 2000, "> " * 3000, '"' * 5000])
def test_any_reply_is_read_in_no_time(reply: str) -> None:
    started_at = time.process_time()
    title_in(reply)

    assert time.process_time() - started_at < 0.2
