"""The connection to the database service. Every call has a deadline, and every failure becomes one of `web.errors`."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from uuid import UUID

import httpx
import orjson

from web.clients.http_client import HTTPClient
from web.clients.transport import HTTPTransport
from web.errors import NotFound, Refused, TooMany, Unavailable

CALL_SECONDS, CONNECT_SECONDS = 3.0, 1.0
RETRY_WITHIN_SECONDS = 1.0  # a 503 that took longer would take as long again
HEARTBEAT_SECONDS = 12.0  # dbapi sends a heartbeat every 5 seconds
MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS = 200, 50

logger = logging.getLogger("web.dbapi")


class DbapiConnection:
    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        transport = HTTPTransport(MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS)
        self._http = HTTPClient(httpx.URL(url), headers, transport, CONNECT_SECONDS)

    async def call(
        self,
        method: str,
        path: str,
        session: UUID | None = None,
        json: Mapping[str, object] | None = None,
        retry: bool = False,
    ) -> object:
        """The response's JSON. `retry` allows one more attempt after a lost response: for idempotent calls only."""
        headers = {"X-Session-ID": str(session)} if session else None
        content = None if json is None else orjson.dumps(json)
        started_at = time.monotonic()
        for attempt in (1, 2):
            can_retry = retry and attempt == 1
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    response = await self._http.fetch(method, path, content, headers=headers)
            except (httpx.HTTPError, TimeoutError) as error:
                if can_retry and not isinstance(error, TimeoutError | httpx.TimeoutException):
                    continue
                raise Unavailable from error
            if response.status_code == 503 and can_retry and time.monotonic() - started_at < RETRY_WITHIN_SECONDS:
                continue
            return _result(response)
        raise AssertionError("the second attempt ends the loop")

    async def lines(self, path: str) -> AsyncGenerator[object, None]:
        """Yields the JSON of each line until the connection is lost, then raises Unavailable."""
        try:
            async with aclosing(await self._http.open("GET", path, read_seconds=HEARTBEAT_SECONDS)) as response:
                if response.status_code != 200:
                    raise Unavailable
                async for line in response.aiter_lines():
                    yield orjson.loads(line)
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise Unavailable from error
        raise Unavailable

    async def close(self) -> None:
        await self._http.close()


def _result(response: httpx.Response) -> object:
    """The JSON of the response. Raises UserError."""
    if response.is_success:
        return orjson.loads(response.content) if response.content else None
    try:
        detail = str(orjson.loads(response.content)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        detail = ""
    if response.status_code == 404:
        raise NotFound
    if response.status_code in (401, 403) or response.status_code >= 500:
        logger.error("dbapi responded %s: %s", response.status_code, detail)
        raise Unavailable(detail)
    if response.status_code == 429:
        raise TooMany(detail, int(response.headers["retry-after"]))
    raise Refused(response.status_code, detail)
