"""The stream of notifications."""

from typing import Annotated

from dbapi.endpoint import JSONLines, Query, endpoint
from dbapi.reaper import DEFAULT_SILENCE_SECONDS
from dbapi.schemas.generations import Notification
from dbapi.state import Request

MAX_LEASE_SECONDS = 3600.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def _seconds(text: str) -> float:
    """0 for anything but a possible time."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds <= MAX_LEASE_SECONDS else 0.0


Owner = Annotated[str, Query(str, {"type": "string"})]
Seconds = Annotated[float, Query(_seconds, {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_LEASE_SECONDS})]


@endpoint()
async def index(
    request: Request, owner: Owner = "", lease: Seconds = 0.0, silence: Seconds = DEFAULT_SILENCE_SECONDS
) -> JSONLines[Notification]:
    """Notifies a process of changes in the log, one stream per process. Begins with `lost`.

    A process that writes answers sends its `owner` and its `lease` in seconds. It gets no notifications of its own
    appends. When its connection breaks, its leases that it does not renew for `silence` seconds end early.
    """

    def on_lost() -> None:
        if owner and lease:
            request.state["lease_reaper"].schedule(owner, lease, silence or DEFAULT_SILENCE_SECONDS)

    return JSONLines(request.state["listener"].lines(owner, request.state["draining"], on_lost), headers=HEADERS)
