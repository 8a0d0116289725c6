"""The page that changes the theme and the text size. A button of the chat page shows and hides its list of chats."""

from uuid import UUID

from starlette.responses import RedirectResponse, Response

from web import appearance
from web.pages import forms, query
from web.state import Request


async def show(request: Request) -> Response:
    """`?chat=<id>` is the chat to return to."""
    return request.state["templates"].response(
        "appearance.html",
        chat_id=query.id_parameter(request, "chat"),
        themes=appearance.THEMES,
        text_sizes=appearance.TEXT_SIZES,
    )


async def change(request: Request) -> Response:
    form = await forms.read(request)
    response = RedirectResponse(_address(form.get("chat", "")), 303)
    appearance.save(response, appearance.chosen(form, appearance.current()), secure=request.state["settings"].secure)
    return response


def _address(chat_id: str) -> str:
    try:
        return f"/chats/{UUID(chat_id)}"
    except ValueError:
        return "/"
