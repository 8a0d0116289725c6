"""Reading a form: urlencoded only, never more than allowed, and whatever bytes come, text that can be stored."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from kit.text import clean
from web.errors import Refused

MOST_FIELDS = 20


async def read(request: Request) -> dict[str, str]:
    """The fields of a form; of a name that comes twice, the first. Raises Refused (413, 415 or 400)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in ("application/x-www-form-urlencoded", ""):
        raise Refused(415, "This form can't be sent in that format.")
    most = request.state["settings"].body_bytes
    too_large = Refused(413, "This is too long to be sent. Please shorten it, or send it in parts.")
    if most and int(request.headers.get("content-length") or 0) > most:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if most and len(body) > most:
            raise too_large
    try:
        fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Refused(400, "This form has too many fields.") from error
    form = {name: clean(value.replace("\r\n", "\n")) for name, value in reversed(fields)}
    request.scope["form"] = form  # for the page that says "not now": it holds what was typed
    return form
