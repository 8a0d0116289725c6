"""The settings of a chat, the choice of a model, and the context window of a long chat."""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from tests.stack import Cluster, Service, Stack, running_stack
from tests.web.actions import finished_answer
from tests.web.dom import parse
from tests.web.visitor import Model, Visitor, unique


async def test_settings_reach_the_model_and_can_be_taken_back(visitor: Visitor, model: Model) -> None:
    chat, tuned, usual = await visitor.begin(), unique("tuned"), unique("usual")
    values = {"system_prompt": "Be brief.", "temperature": "0,5", "top_k": "7", "max_tokens": "20", "seed": "42"}

    await visitor.http.post(f"{chat}/settings", data=values)
    shown = (await visitor.http.get(f"{chat}/settings")).text
    await finished_answer(visitor, chat, tuned)
    await visitor.http.post(f"{chat}/settings", data={"reset": "1"})
    await finished_answer(visitor, chat, usual)

    (first,), (second,) = await model.requests(tuned), await model.requests(usual)
    assert {name: first[name] for name in ("temperature", "top_k", "max_tokens", "seed")} == {
        "temperature": 0.5,
        "top_k": 7,
        "max_tokens": 20,
        "seed": 42,
    }
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    assert 'value="0.5"' in shown
    assert "temperature" not in second
    assert "max_tokens" not in second
    assert second["messages"][0]["content"].startswith("You are a helpful assistant.")


@pytest.fixture(scope="session")
async def two_models_stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A web process with several models."""
    async with running_stack(cluster, tmp_path_factory.mktemp("two-models"), models=("small", "large")) as stack:
        await stack.web()
        yield stack


async def test_a_chosen_model_applies_to_the_chat_and_to_chats_started_from_it(two_models_stack: Stack) -> None:
    visitor, model = Visitor(two_models_stack.services[-1]), Model(two_models_stack.llama)
    questions = [unique(name) for name in ("chosen", "after", "changed", "default")]
    offered = parse((await visitor.http.get("/")).text).select("#model").text
    chat = await visitor.begin(model="large")
    await finished_answer(visitor, chat, questions[0])
    copied = parse((await visitor.http.get(chat)).text).select("#chats form")
    later = await visitor.begin(
        **{field.attributes["name"]: field.attributes["value"] for field in copied.matching("input")}
    )
    await finished_answer(visitor, later, questions[1])
    await visitor.http.post(f"{chat}/settings", data={"model": "small"})
    await finished_answer(visitor, chat, questions[2])
    await visitor.http.post(f"{chat}/settings", data={"reset": "1"})
    await finished_answer(visitor, chat, questions[3])

    models = [(await model.requests(content))[0].get("model") for content in questions]
    assert offered == "Server defaultsmalllarge"
    assert later != chat
    assert models == ["large", "large", "small", "small"]  # the default is the first that is offered
    await model.http.aclose()


async def test_an_answer_names_its_model_although_none_was_chosen(visitor: Visitor) -> None:
    chat = await visitor.begin()
    answer = await finished_answer(visitor, chat, "Why?")
    shown = parse((await visitor.http.get(chat)).text)

    await visitor.http.post(f"{chat}/messages/{answer['id']}/regenerate")
    again = (await visitor.messages(chat))[-1]

    assert (answer["model"], again["model"]) == ("fake-llama", "fake-llama")
    assert shown.select(f"#message-{answer['id']}-footer .by").text == "fake-llama"


async def new_chat_form(visitor: Visitor, chat: str) -> dict[str, str]:
    form = parse((await visitor.http.get(chat)).text).select("#chats form")
    return {field.attributes["name"]: field.attributes["value"] for field in form.matching("input")}


async def settings_of(visitor: Visitor, chat: str) -> tuple[str, str]:
    """The instructions and the temperature."""
    page = parse((await visitor.http.get(f"{chat}/settings")).text)
    return page.select("#system_prompt").text.strip(), page.select("#temperature").attributes["value"]


async def test_a_new_chat_takes_over_the_settings_of_the_chat_it_was_started_from(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.http.post(f"{chat}/settings", data={"system_prompt": "Be brief.", "temperature": "0.5"})
    await finished_answer(visitor, chat, "Why?")

    later = await visitor.begin(**await new_chat_form(visitor, chat))
    usual = await visitor.begin("Grace")

    assert later != chat
    assert await settings_of(visitor, later) == ("Be brief.", "0.5")
    assert (await settings_of(visitor, usual))[0].startswith("You are a helpful assistant.")


async def test_settings_saved_for_all_new_chats_are_their_defaults(visitor: Visitor, other: Visitor) -> None:
    chat = await visitor.begin()
    before = await settings_of(visitor, chat)
    form = {"system_prompt": "Be brief.", "temperature": "0.5"}
    await visitor.http.post(f"{chat}/settings", data=form | {"default": "1"})
    await visitor.http.post(f"{chat}/settings", data={"reset": "1"})

    new, theirs = await visitor.begin("Grace"), await other.begin()
    form = await new_chat_form(visitor, chat)
    await visitor.http.post(f"{chat}/delete")
    after_deletion = await visitor.begin(**form)

    assert await settings_of(visitor, new) == ("Be brief.", "0.5")
    assert await settings_of(other, theirs) == before
    assert await settings_of(visitor, after_deletion) == ("Be brief.", "0.5")


async def test_the_choice_of_a_model_keeps_the_other_settings(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.http.post(f"{chat}/settings", data={"system_prompt": "Be brief.", "temperature": "0.5"})

    chosen = await visitor.http.post(f"{chat}/settings", data={"model": "large"})

    assert chosen.status_code == 303
    assert await settings_of(visitor, chat) == ("Be brief.", "0.5")


async def test_a_starter_of_an_empty_chat_is_sent_as_a_message(visitor: Visitor) -> None:
    chat = await visitor.begin()
    button = parse((await visitor.http.get(chat)).text).select(".starters button").attributes

    sent = await visitor.http.post(f"{chat}/messages", data={"content": "", button["name"]: button["value"]})

    assert sent.status_code == 303
    assert (await visitor.messages(chat))[1]["content"] == button["value"]


async def test_with_one_model_there_is_no_choice(visitor: Visitor) -> None:
    chat = await visitor.begin()

    assert "<select" not in (await visitor.http.get("/")).text + (await visitor.http.get(f"{chat}/settings")).text


async def test_no_chat_exceeds_the_operators_limit_of_tokens(
    stack: Stack, web: Service, model: Model, owner: Any
) -> None:
    limited = await stack.web(MAX_TOKENS="64", MAX_TOKENS_LIMIT="100")
    visitor, content = Visitor(limited), unique()
    chat = await visitor.begin()
    page = parse((await visitor.http.get(f"{chat}/settings")).text)

    refused = await visitor.http.post(f"{chat}/settings", data={"max_tokens": "101"})
    accepted = await visitor.http.post(f"{chat}/settings", data={"max_tokens": "100"})
    await owner.execute(  # stored before the limit was lowered
        """UPDATE chats SET parameters = '{"max_tokens": 32768}' WHERE id = $1""", chat.removeprefix("/chats/")
    )
    await visitor.ended(chat, await visitor.say(chat, content))

    assert (refused.status_code, accepted.status_code) == (422, 303)
    assert "from 1 to 100" in refused.text
    assert page.select("#max_tokens").attributes["placeholder"] == "64"
    assert "Range: 1 to 100." in page.select("#about-max_tokens").text
    assert [request["max_tokens"] for request in await model.requests(content)] == [100]
    await visitor.leave()
    await stack.leave(limited)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "2.1"),
        ("temperature", "nan"),
        ("top_p", "0"),
        ("top_k", "1.5"),
        ("seed", "-1"),
        ("max_tokens", "x"),
    ],
)
async def test_an_out_of_range_value_is_refused_and_the_form_keeps_its_values(
    visitor: Visitor, name: str, value: str
) -> None:
    chat = await visitor.begin()

    answer = await visitor.http.post(f"{chat}/settings", data={"system_prompt": "Be brief.", name: value})

    assert answer.status_code == 422
    assert "must be a number" in answer.text
    assert f'value="{value}"' in answer.text
    assert "Be brief." in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    assert 'value="2.1"' not in (await visitor.http.get(f"{chat}/settings")).text


async def test_the_form_shows_the_values_in_force(visitor: Visitor) -> None:
    page = parse((await visitor.http.get(f"{await visitor.begin()}/settings")).text)

    names = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens", "seed")
    shown = [page.select(f"#{name}").attributes["placeholder"] for name in names]
    assert shown == ["0.8", "0.95", "40", "0.05", "1", "As the context allows", "Random"]


async def test_a_refused_form_keeps_the_chosen_model(two_models_stack: Stack) -> None:
    visitor = Visitor(two_models_stack.services[-1])
    chat = await visitor.begin(model="small")

    refused = await visitor.http.post(f"{chat}/settings", data={"model": "large", "temperature": "9"})
    stored = await visitor.http.get(f"{chat}/settings")

    assert '<option value="large" selected>large</option>' in refused.text
    assert '<option value="small" selected>small</option>' in stored.text


async def test_the_cost_of_an_answer_is_shown_on_request(visitor: Visitor) -> None:
    chat = await visitor.begin()
    done = await finished_answer(visitor, chat)

    facts = (await visitor.page(chat)).select(f"#message-{done['id']}-facts").text

    for told in ("tokens per second", "Time to first word", "from cache", "Context used"):
        assert told in facts


# Long chats


@pytest.fixture(scope="session")
async def small_context_stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A web process whose model has a small context."""
    async with running_stack(cluster, tmp_path_factory.mktemp("small-context"), n_ctx=1500) as stack:
        await stack.web()
        yield stack


async def test_the_oldest_turns_leave_the_context_in_large_steps_and_the_page_marks_where(
    small_context_stack: Stack,
) -> None:
    visitor, model = Visitor(small_context_stack.services[-1]), Model(small_context_stack.llama)
    chat, starts = await visitor.begin(), []
    questions = [unique(f"{number} " + "word " * 60) for number in range(12)]

    for question in questions:
        await finished_answer(visitor, chat, question)
        (request,) = await model.requests(question)
        kept = [message["content"] for message in request["messages"] if message["role"] == "user"]
        starts.append(questions.index(kept[0]))

    page = (await visitor.http.get(chat)).text
    _, mark, after = page.partition("The model reads the chat from here on")
    steps = [later - earlier for earlier, later in pairwise(starts) if later != earlier]
    assert starts[0] == 0
    assert starts[-1] > 0
    assert all(step > 1 for step in steps)
    assert len(steps) < len(questions) / 2
    assert mark
    assert questions[starts[-1]].strip()[:12] in after
    await visitor.leave()
    await model.http.aclose()
