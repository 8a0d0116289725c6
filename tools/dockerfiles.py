"""Checks Dockerfiles for `COPY --chmod` into a folder that the image may not have.

Docker Engine 28.1 and newer give a folder that COPY or ADD creates the mode of its files: with 644, only root can enter
it. So an earlier instruction of the same stage must create the folder.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CREATES_FOLDERS = re.compile(r"\b(?:mkdir|install\s+(?:-\S+\s+)*-d)\b([^;&|]*)")
HEREDOC = re.compile(r"<<-?([\"']?)(\w+)\1")


def check(file: Path) -> list[str]:
    """Return one message for each instruction that may create a folder with the mode of a file."""
    found, folders, current = [], set[str](), PurePosixPath("/")
    for line, name, value in instructions(file.read_text()):
        if name == "FROM":
            folders, current = {"/"}, PurePosixPath("/")
        elif name == "WORKDIR":
            current /= value.strip()
            folders |= with_parents(current)
        elif name == "RUN":
            for words in CREATES_FOLDERS.findall(value):
                for word in words.split():
                    folders |= with_parents(current / word.strip("\"',[]"))
        elif name in ("COPY", "ADD") and re.match(r"(--\S+\s+)*--chmod=", value):
            folder = destination(value, current)
            if str(folder) not in folders:
                found.append(f"{file}:{line}: {name} --chmod may create {folder}; create it before: RUN mkdir -p")
    return found


def instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, name, value) of each instruction, with its continuation lines joined."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        whole = line.rstrip()
        while whole.endswith("\\"):
            following = next(lines, (0, ""))[1].rstrip()
            if not following.lstrip().startswith("#"):
                whole = f"{whole[:-1]} {following.lstrip()}"
        body = list[str]()
        for _, end in HEREDOC.findall(whole):
            for _, inner in lines:
                if inner.strip() == end:
                    break
                body.append(inner)
        name, _, value = whole.strip().partition(" ")
        yield number, name.upper(), "\n".join([value.strip(), *body])


def destination(value: str, current: PurePosixPath) -> PurePosixPath:
    """Return the folder that COPY or ADD writes to."""
    arguments = re.sub(r"^(--\S+\s+)+", "", value.partition("\n")[0]).strip()
    words = json.loads(arguments) if arguments.startswith("[") else arguments.split()
    target = current / words[-1]
    return target if words[-1].endswith("/") or len(words) > 2 else target.parent


def with_parents(path: PurePosixPath) -> set[str]:
    return {str(path), *map(str, path.parents)}
