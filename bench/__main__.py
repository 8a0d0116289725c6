"""`python -m bench` runs all benchmarks three times. `python -m bench S2 S3b --runs 5 --systems nginx,1` runs a part.

S1: one fast stream. S2: 50 streams. S3: 200 and 1,000 streams. S4: one answer with 1 and 200 viewers. S5: the page in a
browser. S6: start and idle. S7: a conversation with llama.cpp. S8: twelve chats on its four slots. growth: how the cost
grows with the load. neighbours: a user next to floods. Two run only if they are named: S0, the cost of a turn, and
search, in a million messages.
"""

import argparse
import asyncio
import contextlib
import os
from typing import Any

from bench import conversation, growth, idle, many_chats, neighbours, page, scenarios, search, systems, table
from bench.scenarios import Scenario

SYSTEMS = ("direct", "nginx", "1", "2")
OTHERS = ("S5", "S6", "S7", "S8", "growth", "neighbours")


async def main(chosen: list[str], names: list[str], runs: int) -> None:
    print(f"load average before the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    loads = [scenario for scenario in scenarios.ALL if scenario.name in chosen]
    if loads:
        await streams(loads, names, runs)
    if "S5" in chosen:
        print(await page.page(), flush=True)
    if "S6" in chosen:
        print(await idle.idle(runs), flush=True)
    if "S7" in chosen:
        print(await conversation.conversation(), flush=True)
    if "S8" in chosen:
        print(await many_chats.table(), flush=True)
    if "growth" in chosen:
        print(await growth.table(), flush=True)
    if "neighbours" in chosen:
        print(await neighbours.table(), flush=True)
    if "search" in chosen:
        print(await search.table(), flush=True)


async def streams(chosen: list[Scenario], names: list[str], runs: int) -> None:
    """Run the scenarios on all systems in turn, so that a disturbance affects all. The first run is a warm-up."""
    async with contextlib.AsyncExitStack() as stack:
        model = await stack.enter_async_context(systems.model_server())
        tested = [model] if "direct" in names else []
        if "nginx" in names:
            tested.append(await stack.enter_async_context(systems.nginx_alone(model.url)))
        for replicas in filter(str.isdigit, names):
            tested.append(await stack.enter_async_context(systems.runnel(int(replicas), LLAMA_URL=model.url)))
        for system in tested:
            await scenarios.measure(scenarios.ALL[1], system, model)
        for scenario in chosen:
            results: dict[str, list[dict[str, Any]]] = {system.name: [] for system in tested}
            for _ in range(runs):
                for system in tested:
                    results[system.name].append(await scenarios.measure(scenario, system, model))
            print(table.format_table(f"{scenario.name}: {scenario.title}", table.rows(results)), flush=True)
            for error in sorted(
                {error for of_system in results.values() for run in of_system for error in run["errors"]}
            )[:5]:
                print(f"  {error}")
        print(f"\n{table.NOTE}", flush=True)


if __name__ == "__main__":
    every = [scenario.name for scenario in scenarios.ALL]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "chosen",
        nargs="*",
        metavar="S1 ...",
        choices=[*every, *OTHERS, "search", []],
        help="default: all but S0 and search",
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--systems", default=",".join(SYSTEMS), help="direct, nginx, and numbers of web processes; default: %(default)s"
    )
    given = parser.parse_args()
    asyncio.run(main(given.chosen or [*every[1:], *OTHERS], given.systems.split(","), given.runs))
