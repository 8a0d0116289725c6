"""The settings of one chat: its instructions, its model, and its sampling parameters. Presets fill in the form."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from web.contract import Chat, ChatChange, Parameters, Preset
from web.errors import NotFound, Refused, UserError
from web.pages import forms, models, presets, query
from web.rendering.templates import is_htmx
from web.settings import Settings
from web.state import Request


class Parameter(NamedTuple):
    name: str
    label: str
    minimum: float
    maximum: float
    explanation: str
    default: str = "Server default"


MAX_TOKENS = "max_tokens"
PARAMETERS = (
    Parameter(
        "temperature",
        "Temperature",
        0,
        2,
        "Higher values are more creative, lower values more predictable. 0 always picks the likeliest word.",
    ),
    Parameter(
        "top_p", "Top p", 0.01, 1, "Considers only the likeliest words whose probabilities add up to this share."
    ),
    Parameter("top_k", "Top k", 0, 1000, "Considers only this many of the likeliest words. 0 means no limit."),
    Parameter(
        "min_p",
        "Min p",
        0,
        1,
        "Ignores words that are less likely than this share of the likeliest word's probability.",
    ),
    Parameter("repeat_penalty", "Repeat penalty", 0.5, 2, "Values above 1 make recently used words less likely."),
    Parameter(MAX_TOKENS, "Maximum length", 1, 32_768, "In tokens. A token is about three quarters of a word."),
    Parameter(
        "seed",
        "Seed",
        0,
        2**31 - 1,
        "With the same seed, the same question gets the same answer, if nothing else changes.",
    ),
)
WHOLE_NUMBERS = {"top_k", MAX_TOKENS, "seed"}
PROMPT_CODE_POINTS, MODEL_CODE_POINTS = 32_000, 200


class InvalidParameter(forms.InvalidField):
    def __init__(self, parameter: Parameter) -> None:
        minimum, maximum = f"{parameter.minimum:g}", f"{parameter.maximum:,}"
        super().__init__(parameter.name, f"{parameter.label} must be a number from {minimum} to {maximum}, or empty.")


async def show(request: Request) -> Response:
    """With the query parameter `preset`, the form contains the settings of that preset. Nothing is stored."""
    session, preset_id = await request.state["sessions"].require(request), query.id_parameter(request, "preset")
    chat = await request.state["dbapi"].chat(session, request.path_params["chat_id"], last=1)
    try:
        preset = await request.state["dbapi"].preset(session, preset_id) if preset_id else None
    except NotFound:
        return await _page(request, session, chat, _fields(chat), NotFound("This preset does not exist any more."))
    return await _page(request, session, chat, _fields(preset or chat), preset=preset)


async def change(request: Request) -> Response:
    """htmx gets no chat page: it updates its own."""
    session, form = await request.state["sessions"].require(request), await forms.read(request)
    try:
        following = await _store(request, session, form)
    except Refused as error:
        chat = await request.state["dbapi"].chat(session, request.path_params["chat_id"], last=1)
        page = await _page(request, session, chat, form, error)
        page.headers.update(error.headers)
        return page
    if is_htmx(request) and following == f"/chats/{request.path_params['chat_id']}":
        return Response(status_code=204)
    return RedirectResponse(following, 303)


async def _store(request: Request, session: UUID, form: dict[str, str]) -> str:
    """Stores the settings, and returns the path of the next page. Raises Refused.

    With the field `reset`, all settings get the operator's defaults. With the field `default`, the settings also become
    those of new chats. With the field `preset`, they become a preset and not those of the chat. With another button,
    they become both if a name was typed: in the field of the name, Enter presses the first button of the form.
    """
    dbapi, chat_id = request.state["dbapi"], request.path_params["chat_id"]
    defaults: ChatChange = {"system_prompt": request.state["settings"].system_prompt, "parameters": {}, "model": ""}
    values = defaults if form.get("reset") else _values(form, _parameters(request))
    if form.get("preset") or (presets.is_named(form) and not form.get("reset")):
        await dbapi.chat_state(session, chat_id)  # raises NotFound
        preset_id = await presets.save(request, session, form, values)
        if form.get("preset"):
            return f"/chats/{chat_id}/settings?preset={preset_id}"
    await dbapi.change_chat(session, chat_id, values)
    if form.get("default"):
        await dbapi.set_chat_defaults(session, chat_id)
    return f"/chats/{chat_id}"


def _parameters(request: Request, model: str = "") -> list[Parameter]:
    """With the values in force for this model, and the operator's limit of an answer's length."""
    settings, defaults = request.state["settings"], request.state["models"].of(model).defaults
    return [
        _length(parameter, settings)
        if parameter.name == MAX_TOKENS
        else parameter._replace(default=_shown(parameter, defaults.get(parameter.name)))
        for parameter in PARAMETERS
    ]


def _length(parameter: Parameter, settings: Settings) -> Parameter:
    maximum, tokens = (
        min(settings.max_tokens_limit or parameter.maximum, parameter.maximum),
        settings.answer_tokens(None),
    )
    return parameter._replace(maximum=maximum, default=f"{tokens:,}" if tokens else "As the context allows")


def _shown(parameter: Parameter, default: float | None) -> str:
    """llama.cpp reports single-precision numbers, and a seed that means "random"."""
    if default is None:
        return parameter.default
    return f"{default:.4g}" if parameter.minimum <= default <= parameter.maximum else "Random"


def _values(form: dict[str, str], parameters: Sequence[Parameter]) -> ChatChange:
    """The settings that the form contains: that of the composer has the model only. Raises Refused."""
    values: ChatChange = {}
    if "model" in form:
        values["model"] = form["model"][:MODEL_CODE_POINTS]
    if "system_prompt" in form:
        values["system_prompt"] = form["system_prompt"]
    if len(form.get("system_prompt", "")) > PROMPT_CODE_POINTS:
        raise Refused(422, f"The instructions can have at most {PROMPT_CODE_POINTS:,} characters.")
    if any(parameter.name in form for parameter in parameters):
        numbers = {parameter.name: _number(parameter, form.get(parameter.name, "")) for parameter in parameters}
        values["parameters"] = cast(Parameters, numbers)
    return values


def _number(parameter: Parameter, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = int(text) if parameter.name in WHOLE_NUMBERS else float(text.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not parameter.minimum <= value <= parameter.maximum:
        raise InvalidParameter(parameter)
    return value


def _fields(settings: Chat | Preset) -> Mapping[str, object]:
    return {**settings["parameters"], "system_prompt": settings["system_prompt"], "model": settings["model"]}


async def _page(
    request: Request,
    session: UUID,
    chat: Chat,
    values: Mapping[str, object],
    error: UserError | None = None,
    preset: Preset | None = None,
) -> Response:
    """`values` are the form's fields: as stored in the chat or the preset, or as submitted if they were refused."""
    parameters = _parameters(request, str(values.get("model") or ""))
    return request.state["templates"].response(
        "chats/settings.html",
        error.status if isinstance(error, Refused) else 200,
        chat=chat,
        preset=preset,
        presets=await request.state["dbapi"].presets(session),
        preset_name=values.get(presets.FIELD, ""),
        system_prompt=values.get("system_prompt", ""),
        model=values.get("model") or "",
        values=values,
        invalid=error.name if isinstance(error, forms.InvalidField) else "",
        parameters=parameters,
        shows_parameters=any(values.get(parameter.name) not in (None, "") for parameter in parameters),
        models=models.choices(request),
        notice=error.message if error else "",
    )
