"""Presets: saved and deleted on the settings page, and shown in its form."""

from typing import Any

import httpx
import pytest

from tests.dbapi.calls import MANY_PRESETS
from tests.web.actions import finished_answer
from tests.web.all_routes import UNKNOWN
from tests.web.dom import Node, parse
from tests.web.visitor import Model, Visitor, unique

POET = {"preset_name": "Poet", "system_prompt": "Rhyme.", "temperature": "0.5", "top_k": "7"}


async def save(visitor: Visitor, chat: str, **fields: str) -> httpx.Response:
    """Presses "Save as preset"."""
    return await visitor.http.post(f"{chat}/settings", data={**POET, **fields, "preset": "1"})


async def saved(visitor: Visitor, chat: str, **fields: str) -> str:
    """Saves a preset. Returns the path of the page that shows it."""
    answer = await save(visitor, chat, **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def page(visitor: Visitor, path: str) -> Node:
    answer = await visitor.http.get(path)
    assert answer.status_code == 200
    return parse(answer.text)


def links(page: Node) -> dict[str, str]:
    """The addresses of the presets by name."""
    rows = page.matching(".presets")
    return {link.text: link.attributes["href"] for row in rows for link in row.matching("a")}


def deletions(page: Node) -> dict[str, str]:
    """The addresses of the forms that delete a preset, by their buttons."""
    rows = page.matching(".presets")
    return {form.text.strip(): form.attributes["action"] for row in rows for form in row.matching("form")}


def fields(page: Node) -> dict[str, str]:
    """The settings in the form, as far as they have a value."""
    values = {field.attributes["name"]: field.attributes.get("value", "") for field in page.matching("input")}
    values["system_prompt"] = page.select("#system_prompt").text.strip()
    return {name: value for name, value in values.items() if value}


async def test_a_saved_preset_is_shown_in_the_row_and_in_the_form(visitor: Visitor) -> None:
    chat = await visitor.begin()
    before = fields(await page(visitor, f"{chat}/settings"))

    path = await saved(visitor, chat, preset_name='  The "best" <b>  poet ', model="large")

    shown = await page(visitor, path)
    assert links(shown) == {'The "best" <b> poet': path}
    assert path.startswith(f"{chat}/settings?preset=")
    assert fields(shown) == {"system_prompt": "Rhyme.", "temperature": "0.5", "top_k": "7", "model": "large"}
    assert 'The "best" <b> poet' in shown.select(".hint").text
    assert fields(await page(visitor, f"{chat}/settings")) == before


async def test_a_preset_applies_to_a_chat_when_its_form_is_saved(visitor: Visitor, model: Model) -> None:
    path, chat, question = await saved(visitor, await visitor.begin()), await visitor.begin("Grace"), unique()
    (link,) = links(await page(visitor, f"{chat}/settings")).values()

    shown = await page(visitor, link)
    not_yet = fields(await page(visitor, f"{chat}/settings"))
    stored = await visitor.http.post(link, data=fields(shown))
    await finished_answer(visitor, chat, question)

    (request,) = await model.requests(question)
    assert link.partition("=")[2] == path.partition("=")[2]
    assert "temperature" not in not_yet
    assert (stored.status_code, stored.headers["location"]) == (303, chat)
    assert (request["temperature"], request["top_k"]) == (0.5, 7)
    assert request["messages"][0] == {"role": "system", "content": "Rhyme."}


async def test_a_preset_is_replaced_by_one_with_the_same_name(visitor: Visitor) -> None:
    chat = await visitor.begin()

    first = await saved(visitor, chat)
    second = await saved(visitor, chat, system_prompt="Do not rhyme.", temperature="")

    shown = await page(visitor, second)
    assert first == second
    assert links(shown) == {"Poet": first}
    assert fields(shown) == {"system_prompt": "Do not rhyme.", "top_k": "7"}


async def test_an_unknown_preset_shows_the_form_as_usual_with_a_notice(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.http.post(f"{chat}/settings", data={"system_prompt": "Be brief.", "temperature": "0.25"})

    shown = await page(visitor, f"{chat}/settings?preset={UNKNOWN}")

    assert "does not exist any more" in shown.select(".notice").text
    assert fields(shown) == {"system_prompt": "Be brief.", "temperature": "0.25"}


@pytest.mark.parametrize(
    ("wrong", "invalid", "reason"),
    [
        ({"preset_name": " \u200b "}, "preset_name", "Please enter a name for the preset."),
        ({"preset_name": "x" * 101}, "preset_name", "at most 100 characters"),
        ({"temperature": "9"}, "temperature", "Temperature must be a number"),
        ({"system_prompt": "x" * 32_001}, None, "at most 32,000 characters"),
    ],
)
async def test_a_refused_preset_keeps_everything_that_was_typed(
    visitor: Visitor, wrong: dict[str, str], invalid: str | None, reason: str
) -> None:
    chat = await visitor.begin()

    answer = await save(visitor, chat, **wrong)

    shown = parse(answer.text)
    marked = [field.attributes["name"] for field in shown.matching("input") if "aria-invalid" in field.attributes]
    assert answer.status_code == 422
    assert reason in shown.select(".notice").text
    assert marked == ([invalid] if invalid else [])
    assert {name: value.strip() for name, value in fields(shown).items()} == {
        name: value.strip() for name, value in {**POET, **wrong}.items() if value.strip()
    }
    assert links(await page(visitor, f"{chat}/settings")) == {}


async def test_beyond_the_limit_of_presets_the_form_keeps_its_values(visitor: Visitor, owner: Any) -> None:
    chat = await visitor.begin()
    session = await owner.fetchval("SELECT session_id FROM chats WHERE id = $1", chat.removeprefix("/chats/"))
    await owner.execute(MANY_PRESETS, session, 100)

    answer = await save(visitor, chat)

    assert answer.status_code == 409
    assert "There are 100 presets already" in parse(answer.text).select(".notice").text
    assert fields(parse(answer.text)) == POET


async def test_a_preset_is_deleted_with_its_button_and_chats_keep_their_settings(visitor: Visitor) -> None:
    chat = await visitor.begin()
    await visitor.http.post(await saved(visitor, chat), data={**POET, "preset_name": ""})
    await saved(visitor, chat, preset_name="Clerk")
    buttons = deletions(await page(visitor, f"{chat}/settings"))

    first, again = [await visitor.http.post(buttons["Delete preset Poet"]) for _ in range(2)]

    shown = await page(visitor, first.headers["location"])
    assert list(buttons) == ["Delete preset Clerk", "Delete preset Poet"]
    assert (first.status_code, again.status_code) == (303, 303)
    assert first.headers["location"] == again.headers["location"] == f"{chat}/settings"
    assert list(links(shown)) == ["Clerk"]
    assert fields(shown)["temperature"] == "0.5"


async def test_a_name_is_not_lost_if_enter_presses_another_button(visitor: Visitor) -> None:
    """Enter in a field presses the first button of the form, which is Save."""
    chat = await visitor.begin()
    buttons = (await page(visitor, f"{chat}/settings")).select(".panel > form").matching("button")

    stored = await visitor.http.post(f"{chat}/settings", data=POET)
    reset = await visitor.http.post(f"{chat}/settings", data={**POET, "preset_name": "Clerk", "reset": "1"})

    shown = await page(visitor, f"{chat}/settings")
    assert buttons[0].text == "Save"
    assert (stored.headers["location"], reset.headers["location"]) == (chat, chat)
    assert list(links(shown)) == ["Poet"]
    assert "temperature" not in fields(shown)
