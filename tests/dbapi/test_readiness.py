"""dbapi is ready with the runtime login and a suitable schema; otherwise it reports the reason."""

from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.stack import DBAPI_KEY, Cluster, Service, client, run, until


async def reason(url: str, folder: Path) -> str:
    """The reason that a dbapi with this database reports."""
    dbapi = await Service("dbapi", folder / "log", {"DBAPI_DATABASE_URL": url, "DBAPI_KEYS": DBAPI_KEY}).start(
        wait=False
    )
    try:
        async with client(dbapi.url) as http:
            await until(lambda: _alive(http))
            ready = await http.get("/readyz")
    finally:
        await dbapi.terminate()
    assert ready.status_code == 503
    assert ready.headers["retry-after"]
    return str(ready.json()["detail"])


async def _alive(http: httpx.AsyncClient) -> bool:
    try:
        return bool((await http.get("/healthz")).status_code == 200)
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (lambda cluster: cluster.owner_url(Cluster.TEMPLATE), "owns the tables"),
        (lambda cluster: cluster.superuser_url, "superuser"),
        (lambda cluster: cluster.runtime_url("template1"), "alembic upgrade head"),
        (lambda cluster: cluster.runtime_url("nowhere"), "not available"),
    ],
    ids=["owner", "superuser", "no tables", "no database"],
)
async def test_readyz_reports_why_dbapi_is_not_ready(
    cluster: Cluster, tmp_path: Path, url: Callable[[Cluster], str], sentence: str
) -> None:
    assert sentence in await reason(url(cluster), tmp_path)


async def test_readyz_reports_an_old_schema(cluster: Cluster, tmp_path: Path) -> None:
    database = await cluster.new_database()
    owner = await asyncpg.connect(cluster.owner_url(database))
    await owner.execute("UPDATE alembic_version SET version_num = '0000'")
    await owner.close()

    assert "at 0000" in await reason(cluster.runtime_url(database), tmp_path)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "DBAPI_DATABASE_URL is not set"),
        ({"DBAPI_DATABASE_URL": "postgresql://x@127.0.0.1/x"}, "DBAPI_KEYS is not set"),
        ({"DBAPI_DATABASE_URL": "postgresql://x@127.0.0.1/x", "DBAPI_KEYS": "changeme"}, "at least 32"),
        ({"DBAPI_DATABASE_URL": "postgresql://x@127.0.0.1/x", "DBAPI_KEYS": f"{DBAPI_KEY},short"}, "at least 32"),
        (
            {"DBAPI_DATABASE_URL": "postgresql://x@127.0.0.1/x", "DBAPI_KEYS": DBAPI_KEY, "DBAPI_PORT": "eight"},
            "DBAPI_PORT must be a whole number, not 'eight'",
        ),
    ],
)
async def test_dbapi_does_not_start_with_invalid_settings_and_names_them(
    environ: dict[str, str], sentence: str
) -> None:
    code, output = await run("dbapi", **environ)

    assert code != 0
    assert sentence in output
    assert len(output.splitlines()) == 1
