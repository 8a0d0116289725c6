"""How the model of one chat is asked: its system prompt, which model, and the parameters of its choice of words."""

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.errors import Failure, Refused
from web.pages import forms


class Parameter(NamedTuple):
    name: str
    label: str
    least: float
    most: float
    step: float
    explained: str


PARAMETERS = (
    Parameter("temperature", "Temperature", 0, 2, 0.05, "Higher is more surprising, lower more predictable; 0 takes the likeliest word."),
    Parameter("top_p", "Top p", 0.01, 1, 0.01, "Only the likeliest words that together reach this share are considered."),
    Parameter("top_k", "Top k", 0, 1000, 1, "Only this many of the likeliest words are considered; 0 is no limit."),
    Parameter("min_p", "Min p", 0, 1, 0.01, "Words less likely than this share of the likeliest one are left out."),
    Parameter("repeat_penalty", "Repeat penalty", 0.5, 2, 0.05, "Above 1, words that were just used become less likely."),
    Parameter("max_tokens", "Longest answer", 1, 32_768, 1, "In tokens: about three quarters of a word each."),
    Parameter("seed", "Seed", 0, 2**31 - 1, 1, "The same seed gives the same answer to the same question, if nothing else changes."),
)
WHOLE = {"top_k", "max_tokens", "seed"}
PROMPT_CODE_POINTS = 32_000


class Wrong(Refused):
    """Says which field, so that the form can point at it."""

    def __init__(self, parameter: Parameter) -> None:
        least, most = f"{parameter.least:g}", f"{parameter.most:,}"
        super().__init__(422, f"{parameter.label} has to be a number from {least} to {most}, or empty.")
        self.name = parameter.name


async def show(request: Request) -> Response:
    session = await request.state["sessions"].require(request)
    chat = await request.state["dbapi"].chat(session, request.path_params["chat_id"], last=1)
    return _page(request, chat, chat["system_prompt"], chat["parameters"])


async def change(request: Request) -> Response:
    session, chat_id = await request.state["sessions"].require(request), request.path_params["chat_id"]
    form = await forms.read(request)
    as_new = {"system_prompt": request.state["settings"].system_prompt, "parameters": {}, "model": ""}
    try:
        await request.state["dbapi"].change_chat(session, chat_id, as_new if form.get("reset") else _values(form))
    except Refused as error:
        chat = await request.state["dbapi"].chat(session, chat_id, last=1)
        page = _page(request, chat, form.get("system_prompt", ""), form, error)
        page.headers.update(error.headers)
        return page
    return RedirectResponse(f"/chats/{chat_id}", 303)


def _values(form: dict[str, str]) -> dict[str, Any]:
    """Raises Refused with a sentence that names the field."""
    if len(form.get("system_prompt", "")) > PROMPT_CODE_POINTS:
        raise Refused(422, f"The instructions can have at most {PROMPT_CODE_POINTS:,} characters.")
    parameters = {parameter.name: _number(parameter, form.get(parameter.name, "")) for parameter in PARAMETERS}
    return {"system_prompt": form.get("system_prompt", ""), "model": form.get("model", "")[:200], "parameters": parameters}


def _number(parameter: Parameter, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = int(text) if parameter.name in WHOLE else float(text.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not parameter.least <= value <= parameter.most:
        raise Wrong(parameter)
    return value


def _page(request: Request, chat: Any, system_prompt: str, given: dict[str, Any], error: Failure | None = None) -> Response:
    return request.state["pages"].answer(  # type: ignore[no-any-return]
        request,
        "chats/settings.html",
        error.status if error else 200,
        chat=chat,
        system_prompt=system_prompt,
        given=given,
        wrong=error.name if isinstance(error, Wrong) else "",
        parameters=PARAMETERS,
        models=request.state["llama"].models,
        notice=error.sentence if error else "",
    )
