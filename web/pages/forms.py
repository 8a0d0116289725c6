"""Reads forms: only urlencoded ones, limited in size. Any bytes become text that the database can store."""

from urllib.parse import parse_qsl

from kit.text import clean
from web.errors import Refused
from web.state import Request

MAX_FIELDS = 20


class InvalidField(Refused):
    """`name` is the field that the form marks."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(422, message)
        self.name = name


async def read(request: Request, max_fields: int = MAX_FIELDS) -> dict[str, str]:
    """The form's fields; of several with one name, the first. Raises Refused (413, 415 or 400)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in (
        "application/x-www-form-urlencoded",
        "",
    ):
        raise Refused(415, "The server does not accept forms in this format.")
    max_bytes = request.state["settings"].body_bytes
    too_large = Refused(413, "This is too long. Please shorten it, or send it in parts.")
    if max_bytes and int(request.headers.get("content-length") or 0) > max_bytes:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if max_bytes and len(body) > max_bytes:
            raise too_large
    try:
        fields = parse_qsl(
            body.decode(errors="replace"), keep_blank_values=True, errors="replace", max_num_fields=max_fields
        )
    except ValueError as error:
        raise Refused(400, "This form has too many fields.") from error
    form = {name: clean(value.replace("\r\n", "\n")) for name, value in reversed(fields)}
    request.scope["form"] = form  # an error page with a retry button contains the form again
    return form
