"""Ids in URLs match only in their canonical form."""

from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from kit import ids
from kit.routing import Route

ID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"


async def show(request: Request) -> Response:
    return PlainTextResponse(repr(request.path_params["id"]))


@pytest.fixture
def app() -> Starlette:
    ids.register()
    return Starlette(routes=[Route("/{id:id}", show)])


async def get(app: Starlette, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        return await http.get(path)


async def test_a_canonical_uuid_matches(app: Starlette) -> None:
    assert (await get(app, f"/{ID}")).text == repr(UUID(ID))
    assert app.url_path_for("show", id=UUID(ID)) == f"/{ID}"


@pytest.mark.parametrize(
    "other",
    [
        ID.upper(),
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"{ID}%0a",
        f"{ID}x",
        ID[:-1],
        "６" + ID[1:],
        f"%20{ID}",
        "urn:uuid:" + ID,
    ],
)
async def test_no_other_form_matches(app: Starlette, other: str) -> None:
    assert (await get(app, f"/{other}")).status_code == 404
