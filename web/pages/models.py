"""The models that a user can choose, and the model of chats that name none."""

from collections import Counter
from collections.abc import Mapping

from web.clients.models import Choice
from web.contract import GenerationRequest
from web.errors import Refused
from web.rendering.templates import model_name
from web.state import Request

NAME_CODE_POINTS = 200


def default_name(request: Request) -> str:
    """The name of the default model; empty if neither the settings nor the model server name one."""
    return request.state["models"].default_id[:NAME_CODE_POINTS]


def requested(request: Request, form: Mapping[str, str]) -> GenerationRequest:
    """What the field `model` asks for. Raises Refused if there is no such model."""
    model = form.get("model")
    if not model:
        return {}
    if len(model) > NAME_CODE_POINTS or request.state["models"].find(model) is None:
        raise Refused(422, "This model is not available. Please choose another one.")
    return {"model": model}


def choices(request: Request) -> list[Choice]:
    """With titles. Models with the same short name are told apart by their ids."""
    found = request.state["models"].choices
    names = Counter(model_name(choice.id) for choice in found)
    return [choice._replace(title=choice.title or _name(choice.id, names)) for choice in found]


def _name(model: str, names: Counter[str]) -> str:
    name = model_name(model)
    return name if names[name] == 1 else model
