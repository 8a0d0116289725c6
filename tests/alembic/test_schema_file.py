"""alembic/schema.sql is the schema that the migrations create."""

import asyncpg
import pytest

from dev.terminal import StartError
from tests.stack import Cluster
from tools import schema


async def test_the_schema_file_matches_the_migrations(cluster: Cluster) -> None:
    schema.check(cluster.cluster.programs, cluster.owner_url(Cluster.TEMPLATE))


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("ALTER TABLE chats ADD COLUMN colour text", "+    colour text"),
        ("DROP POLICY own_session ON chats", "-CREATE POLICY own_session ON public.chats"),
        ("GRANT UPDATE (fence) ON generations TO runnel_runtime", "+GRANT UPDATE(fence) ON TABLE public.generations"),
        ("CREATE INDEX chats_title ON chats (title)", "+CREATE INDEX chats_title"),
        ("ALTER FUNCTION log_next() SECURITY INVOKER", "-    LANGUAGE sql STABLE SECURITY DEFINER"),
    ],
)
async def test_a_difference_is_reported_with_the_command_that_updates_the_file(
    cluster: Cluster, statement: str, line: str
) -> None:
    url = cluster.owner_url(await cluster.new_database())
    owner = await asyncpg.connect(url)
    await owner.execute(statement)
    await owner.close()

    with pytest.raises(StartError) as raised:
        schema.check(cluster.cluster.programs, url)

    assert line in str(raised.value)
    assert "run `make schema`" in str(raised.value)
