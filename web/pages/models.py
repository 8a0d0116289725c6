"""The model of chats that name none."""

from web.state import Request

NAME_CODE_POINTS = 200


def default_name(request: Request) -> str:
    """Its name; empty if neither the settings nor the model server name one."""
    name = request.state["settings"].model or next(iter(request.state["llama"].models), "")
    return name[:NAME_CODE_POINTS]
