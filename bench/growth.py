"""How the cost grows with the number of streams, viewers, chats, and the length of answers and chats."""

from dataclasses import replace
from typing import Any

import asyncpg

from bench import scenarios, systems
from bench.load import Load
from bench.scenarios import Scenario
from bench.systems import System
from bench.table import format_table

LOAD = Load(url="", model="", runnel=True)
TURNS = replace(LOAD, streams=40, tokens=1, rate=0, starts=10)

# Lengthens every existing chat; adds chats of other sessions with four messages each
_LENGTHEN_CHATS = """
WITH ids AS (
  SELECT c.session_id, c.id AS chat_id, c.tip_id, i, gen_random_uuid() AS id FROM chats c, generate_series(1, $1) i
),
chain AS (SELECT *, coalesce(lag(id) OVER (PARTITION BY chat_id ORDER BY i), tip_id) AS parent_id FROM ids),
written AS (
  INSERT INTO messages (id, session_id, chat_id, parent_id, role, content)
  SELECT id, session_id, chat_id, parent_id, CASE i % 2 WHEN 1 THEN 'user' ELSE 'assistant' END, repeat('word ', 40)
    FROM chain ORDER BY i
)
UPDATE chats c SET tip_id = chain.id FROM chain WHERE chain.chat_id = c.id AND chain.i = $1
"""
_ADD_CHATS = """
WITH owners AS (INSERT INTO sessions SELECT FROM generate_series(1, $1) RETURNING id),
created AS (
  INSERT INTO chats (session_id, username, system_prompt) SELECT id, 'other', '' FROM owners RETURNING session_id, id
)
INSERT INTO messages (session_id, chat_id, role, content)
SELECT session_id, id, 'user', repeat('word ', 40) FROM created, generate_series(1, 4)
"""


async def table() -> str:
    body = []
    for count in (10, 50, 200):
        load = replace(LOAD, streams=count, tokens=60, rate=5, starts=50)
        body.append(await _row("streams", count, load, "CPU-ms per 1,000 tokens"))
    for count in (1, 50, 200):
        body.append(
            await _row("viewers of one answer", count, replace(LOAD, viewers=count), "CPU-ms per 1,000 tokens seen")
        )
    for count in (500, 2000, 8000):
        load = replace(LOAD, streams=4, tokens=count, rate=500, starts=4)
        body.append(await _row("tokens in an answer", count, load, "CPU-ms per 1,000 tokens"))
    for count in (2, 100, 400):
        body.append(await _row("messages in a chat", count, TURNS, "CPU-ms per turn", _LENGTHEN_CHATS))
    for count in (100, 10_000, 100_000):
        body.append(await _row("chats of other sessions", count, TURNS, "CPU-ms per turn", _ADD_CHATS))
    return format_table("How the cost grows", body, ("", "", "unit", "web", "dbapi", "postgres", "first token p50, ms"))


async def _row(subject: str, count: int, load: Load, unit: str, statement: str = "") -> tuple[str, ...]:
    async with systems.model_server() as model, systems.runnel(1, LLAMA_URL=model.url) as runnel:
        scenario = Scenario("growth", "", load)
        result = await scenarios.measure(scenario, runnel, model, lambda: _execute(runnel, statement, count))
    share = (1000 if unit.endswith("turn") else 1) * load.viewers
    cpu = (f"{result[f'cpu_{kind}'] / share:.1f}" for kind in ("web", "dbapi", "postgres"))
    failed = f" ({len(result['errors'])} failed)" if result["errors"] else ""
    return subject, f"{count:,}{failed}", unit, *cpu, f"{result['first_p50_ms']:.0f}"


async def _execute(runnel: System, statement: str, count: int) -> None:
    if statement:
        owner: Any = await asyncpg.connect((runnel.data_dir / "run" / "postgres.url").read_text().strip())
        await owner.execute(statement, count)
        await owner.execute("ANALYZE")
        await owner.close()
