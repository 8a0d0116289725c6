"""Tables of the medians of all runs, in Markdown."""

import statistics
from collections.abc import Sequence
from typing import Any

LOAD_IS_BUSY, LOAD_IS_LATE_MS = 0.8, 20.0  # above these, the load generator itself is too slow

_HEAD = (
    "",
    "first token p50 / p99",
    "gap p50 / p99",
    "added p50 / p99",
    "wall p50 (direct)",
    "CPU-ms per 1,000 tokens: web + dbapi + postgres + nginx",
    "KiB per stream",
    "bytes per token",
    "exact",
)
NOTE = (
    "Times in ms. Added: from the moment the model server writes a token until a viewer sees it. "
    "*: the load generator itself was too slow."
)


def rows(results: dict[str, list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """Return one row per system. `results` has the figures of each run."""
    found: list[tuple[str, ...]] = []
    floor = 0.0
    for name, runs in results.items():

        def median(figure: str, runs: list[dict[str, Any]] = runs) -> float:
            return float(statistics.median(run[figure] for run in runs))

        def pair(figure: str) -> str:
            return " / ".join(_ms(median(f"{figure}_{part}_ms")) for part in ("p50", "p99"))

        floor = floor or median("wall_p50_ms")
        answers, wrong = sum(run["answers"] for run in runs), sum(len(run["errors"]) for run in runs)
        cpu = [median(f"cpu_{kind}") for kind in ("web", "dbapi", "postgres", "nginx")]
        late = any(run["load_cpu"] > LOAD_IS_BUSY or run["load_late_ms"] > LOAD_IS_LATE_MS for run in runs)
        found.append(
            (
                name + ("*" if late else ""),
                pair("first"),
                pair("gap"),
                pair("added"),
                f"{_ms(median('wall_p50_ms'))} ({median('wall_p50_ms') / floor:.2f}x)",
                f"{sum(cpu):.0f} = " + " + ".join(f"{part:.0f}" for part in cpu) if any(cpu) else "-",
                f"{median('kib_per_stream'):.0f}" if any(cpu) else "-",
                f"{median('bytes_per_token'):.0f}",
                f"{answers - wrong} of {answers}",
            )
        )
    return found


def format_table(title: str, body: Sequence[Sequence[str]], head: Sequence[str] = _HEAD) -> str:
    lines = [head, ["-" * 3] * len(head), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return f"\n{title}\n\n" + "\n".join(f"| {line} |" for line in padded)


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
