"""Several model servers: choosing a model, slots and queues of their own, faults of one, and changes of the file."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.fake_llama.server import running as running_llama
from tests.stack import PATIENCE_SECONDS, Cluster, Service, Stack, running_stack, until
from tests.web.actions import FINISHED, RUNNING, act, draft, finished_answer
from tests.web.dom import parse
from tests.web.visitor import EVENTS, Model, Visitor

SLOTS = {"home": 2, "gpu": 4, "cloud": 1}


class Servers:
    """Three model servers: two like llama.cpp, and one that only completes chats. The file names them."""

    def __init__(self, stack: Stack, urls: Mapping[str, str], folder: Path) -> None:
        self.stack, self.urls, self.file = stack, urls, folder / "models.toml"
        self.models = {name: Model(url) for name, url in urls.items()}
        self.write(*urls)

    def write(self, *names: str, more: str = "") -> None:
        tables = [f'[[backend]]\nname = "{name}"\nurl = "{self.urls[name]}"\nslots = {SLOTS[name]}\n' for name in names]
        self.file.write_text("".join(tables) + more)

    async def web(self, **environ: str) -> Service:
        return await self.stack.web(MODELS_FILE=str(self.file), LLAMA_URL="http://127.0.0.1:9", **environ)


@pytest.fixture(scope="module")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_stack(cluster, tmp_path_factory.mktemp("models")) as stack:
        yield stack


@pytest.fixture
async def servers(stack: Stack, tmp_path: Path) -> AsyncIterator[Servers]:
    with contextlib.ExitStack() as exits:
        urls = {
            "home": exits.enter_context(running_llama(slots=SLOTS["home"], models=("small", "large"), delay_ms=1)),
            "gpu": exits.enter_context(running_llama(slots=SLOTS["gpu"], models=("huge",), delay_ms=1)),
            "cloud": exits.enter_context(running_llama(slots=9, models=("a/b",), replay=False, delay_ms=1)),
        }
        yield Servers(stack, urls, tmp_path)


@pytest.fixture
async def web(servers: Servers) -> AsyncIterator[Service]:
    web = await servers.web()
    yield web
    await servers.stack.leave(web)


@pytest.fixture
async def second_web(servers: Servers) -> AsyncIterator[Service]:
    """It ends with the test, even if that fails: it would claim answers of later tests for servers that are gone."""
    second = await servers.web()
    yield second
    await servers.stack.leave(second)


@pytest.fixture
async def visitor(web: Service) -> AsyncIterator[Visitor]:
    visitor = Visitor(web)
    await until(lambda: all_are_listed(visitor))
    yield visitor
    await visitor.leave()


async def all_are_listed(visitor: Visitor) -> bool:
    return (await choices(visitor)) == ["", "home/small", "home/large", "gpu/huge", "cloud/a/b"]


async def choices(visitor: Visitor) -> list[str]:
    """The models that a chat offers."""
    chat = visitor.chats[0] if visitor.chats else await visitor.begin()
    return [
        option.attributes["value"] for option in (await visitor.page(chat)).select("#chat-model").matching("option")
    ]


async def test_an_answer_is_written_by_its_model(servers: Servers, visitor: Visitor) -> None:
    for model in ("home/large", "gpu/huge", "cloud/a/b", ""):
        chat, question = await visitor.begin(new="1", model=model), f"Who is {model}?"

        answer = await finished_answer(visitor, chat, question)

        backend, _, name = (model or "home/small").partition("/")
        assert answer["status"] == "complete"
        assert answer["model"] == (model or "home/small")
        asked = {
            each: [body.get("model") for body in await model_.requests(question)]
            for each, model_ in servers.models.items()
        }
        assert asked == {each: [name] if each == backend else [] for each in servers.urls}


async def test_a_message_may_name_the_model_and_so_may_regenerate(servers: Servers, visitor: Visitor) -> None:
    chat = await visitor.begin(new="1", model="home/small")

    first = await finished_answer(visitor, chat, "First?", model="home/large")
    second = await finished_answer(visitor, chat, "Second?")
    third = (await act(visitor, chat, second["id"], "regenerate", model="gpu/huge")).partition("#message-")[2]
    version = await visitor.ended(chat, third)
    fourth = await finished_answer(visitor, chat, "Fourth?")

    models = [answer["model"] for answer in (first, second, version, fourth)]
    assert models == ["home/large", "home/large", "gpu/huge", "home/large"]
    assert [len(await servers.models[name].requests("Second?")) for name in ("home", "gpu")] == [1, 1]
    assert [len(await servers.models[name].requests("Fourth?")) for name in ("home", "gpu")] == [1, 0]


async def test_an_unknown_model_is_refused_and_the_message_stays(servers: Servers, visitor: Visitor) -> None:
    chat = await visitor.begin(new="1")

    refused = await visitor.post(chat, "Who?", model="unknown")

    assert refused.status_code == 422
    page = parse(refused.text)
    assert "This model is not available." in page.select("#notice").text
    assert draft(page) == "Who?"
    assert len(await visitor.messages(chat)) == 1


async def test_a_chat_that_is_older_than_the_file_asks_the_default_server(servers: Servers, visitor: Visitor) -> None:
    chat = await visitor.begin(new="1", model="large")

    assert (await finished_answer(visitor, chat, "Who?"))["status"] == "complete"

    assert [body["model"] for body in await servers.models["home"].requests("Who?")] == ["large"]


async def test_each_server_has_its_own_queue(servers: Servers, visitor: Visitor) -> None:
    """A full server makes no one else wait, and its queue counts only those who wait for it."""
    waiting = []
    for number in range(SLOTS["home"] + 2):
        chat = await visitor.begin(new="1", model="home/small")
        waiting.append((chat, await visitor.say(chat, {"text": f"word {number}", "hang_after": 1})))
    elsewhere = await visitor.begin(new="1", model="gpu/huge")

    assert (await finished_answer(visitor, elsewhere))["status"] == "complete"
    cloud = [await visitor.begin(new="1", model="cloud/a/b") for _ in range(2)]
    late = [await visitor.say(chat, RUNNING) for chat in cloud]
    await visitor.written(cloud[0], late[0])
    await says(visitor, cloud[1], late[1], "number 1 in line")
    assert [(await visitor.message(*each))["status"] for each in waiting] == ["streaming"] * 2 + ["queued"] * 2


async def test_no_server_gets_more_answers_than_it_has_slots(
    servers: Servers, visitor: Visitor, second_web: Service
) -> None:
    visitors, at_once = [visitor, Visitor(second_web)], asyncio.Semaphore(20)
    await visitors[1].begin()
    models = ["home/small", "gpu/huge", "cloud/a/b"]
    script = {"text": "one two three four five", "delay_ms": 5}

    async def ask(number: int) -> tuple[Visitor, str, str]:
        asker = visitors[number % 2]
        async with at_once:
            chat = await asker.begin(username=f"Ada {number}", model=models[number % 3])
            return asker, chat, await asker.say(chat, script)

    asked = await asyncio.gather(*(ask(number) for number in range(200)))
    answers = [await asker.ended(chat, message, 4 * PATIENCE_SECONDS) for asker, chat, message in asked]

    assert {answer["status"] for answer in answers} == {"complete"}
    assert {answer["content"] for answer in answers} == {script["text"]}
    peaks = {name: (await model.counters())["peak"] for name, model in servers.models.items()}
    assert all(1 <= peaks[name] <= slots for name, slots in SLOTS.items()), peaks
    await visitors[1].http.aclose()


async def test_a_killed_process_loses_no_answer_of_any_server(
    visitor: Visitor, web: Service, second_web: Service
) -> None:
    script = {"text": "one two three four five six seven eight nine ten", "delay_ms": 100}
    asked = []
    for model in ("home/large", "gpu/huge", "cloud/a/b"):
        chat = await visitor.begin(new="1", model=model)
        asked.append((chat, await visitor.say(chat, script)))
    for each in asked:
        await visitor.written(*each, characters=8)

    await web.kill()
    elsewhere = Visitor(second_web)
    elsewhere.http.cookies.update(visitor.http.cookies)
    answers = [await elsewhere.ended(*each, 2 * PATIENCE_SECONDS) for each in asked]

    assert [(answer["error"], answer["content"]) for answer in answers] == [(None, script["text"])] * 3
    await elsewhere.http.aclose()
    await web.start()


async def test_a_server_that_is_down_delays_only_its_own_answers(servers: Servers, visitor: Visitor) -> None:
    await servers.models["gpu"].control(down=True)
    down = [await visitor.begin(new="1", model="gpu/huge") for _ in range(SLOTS["gpu"] + 1)]
    waiting = [await visitor.say(chat, "Are you there?") for chat in down]
    other = await visitor.begin(new="1", model="home/small")

    assert (await finished_answer(visitor, other))["status"] == "complete"
    await says(visitor, down[0], waiting[0], "does not respond")
    await servers.models["gpu"].control(down=False)
    ended = [await visitor.ended(*each) for each in zip(down, waiting, strict=True)]
    assert {answer["status"] for answer in ended} == {"complete"}


async def says(visitor: Visitor, chat: str, message: str, words: str) -> None:
    """Waits until the stream of an answer shows these words."""
    async with visitor.watching(chat, message, EVENTS) as watched:
        async for event in watched.events():
            if words in event.data:
                return
    raise AssertionError(f"the stream ended without {words!r}")


@pytest.mark.parametrize("model", ["home/large", "gpu/huge", "unknown"])
async def test_a_model_that_is_gone_is_a_reason(servers: Servers, visitor: Visitor, web: Service, model: str) -> None:
    """No other model answers instead of it."""
    servers.write("home", more='models = ["small"]\n')
    await reload(web)
    gone = await visitor.begin(new="1", model=model)

    answer = await finished_answer(visitor, gone)

    assert answer["status"] == "failed"
    assert answer["error"] == "The model of this answer is not available any more. Please choose another one."
    assert not await servers.models["home"].requests(FINISHED)


async def test_a_changed_file_is_read_without_losing_an_answer(
    servers: Servers, visitor: Visitor, web: Service
) -> None:
    chat = await visitor.begin(new="1", model="gpu/huge")
    running = await visitor.say(chat, {"text": "one two three four five six", "delay_ms": 200})
    await visitor.written(chat, running)

    servers.write("home", "cloud", more='[[model]]\nid = "cloud/a/b"\ntitle = "Very large"\n')
    await reload(web)

    assert await choices(visitor) == ["", "home/small", "home/large", "cloud/a/b"]
    assert "Very large" in (await visitor.page(chat)).select("#chat-model").text
    answer = await visitor.ended(chat, running)
    assert (answer["status"], answer["content"]) == ("complete", "one two three four five six")


async def test_an_invalid_file_changes_nothing(servers: Servers, visitor: Visitor, web: Service) -> None:
    before, logged = await choices(visitor), web.logged
    servers.file.write_text("[[backend]]\nname = 1")
    web.process.send_signal(signal.SIGHUP)

    await until(lambda: any("was not loaded" in json.dumps(line) for line in web.lines(logged)))
    assert await choices(visitor) == before


async def reload(web: Service) -> None:
    logged = web.logged
    web.process.send_signal(signal.SIGHUP)
    await until(lambda: any("MODELS_FILE was loaded" in json.dumps(line) for line in web.lines(logged)))


async def test_a_process_does_not_start_with_an_invalid_file(servers: Servers) -> None:
    servers.file.write_text("[[backend]]")
    service = servers.stack._service("web", "web", **(servers.stack.web_environ | {"MODELS_FILE": str(servers.file)}))
    servers.stack.services.remove(service)
    await service.start(wait=False)

    assert await service.process.wait() == 1
    assert f"web: {servers.file}: the backend None needs a text for 'name'" in service.log_tail()
