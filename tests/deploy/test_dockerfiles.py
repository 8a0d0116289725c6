"""`make check` refuses a Dockerfile whose COPY --chmod creates a folder that nobody can enter."""

from pathlib import Path

import pytest

from tests.stack import ROOT
from tools import dockerfiles


@pytest.mark.parametrize(
    "instructions",
    [
        "COPY --chmod=644 a /new/a",
        "COPY --chmod=644 a b /new/",
        "COPY --chmod=755 a /new/",
        "copy --chown=1:1 --chmod=u=rw,go=r a /new/a",
        "ADD --chmod=644 a /new/a",
        'COPY --chmod=644 ["a", "/new/a"]',
        "COPY \\\n  # a comment\n  --chmod=644 \\\n  a /new/a",
        "COPY --chmod=644 <<EOF /new/a\ntext\nEOF",
        "COPY --chmod=644 a /new/a\nRUN mkdir /new",
        "RUN mkdir /other\nCOPY --chmod=644 a /new/a",
        "RUN mkdir /new\nFROM debian\nCOPY --chmod=644 a /new/a",
        "WORKDIR /srv\nCOPY --chmod=644 a new/a",
    ],
)
def test_a_folder_that_copy_would_create_is_reported(tmp_path: Path, instructions: str) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(f"FROM debian\n{instructions}\n")

    (message,) = dockerfiles.check(file)

    assert "/new; create it before" in message or "/srv/new; create it before" in message


@pytest.mark.parametrize(
    "instructions",
    [
        "RUN mkdir -p -m 755 /new\nCOPY --chmod=644 a /new/a",
        "RUN true \\\n && mkdir -p /other /new/deep\nCOPY --chmod=644 a b /new/",
        "RUN install -d -m 755 /new\nCOPY --chmod=644 a /new/a",
        "RUN <<EOF\nmkdir /new\nEOF\nCOPY --chmod=644 a /new/a",
        "WORKDIR /new\nCOPY --chmod=644 a b ./",
        "COPY --chmod=644 a /a",
        "COPY a /new/a",
        "# COPY --chmod=644 a /new/a",
    ],
)
def test_a_folder_that_exists_is_not_reported(tmp_path: Path, instructions: str) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(f"FROM debian\n{instructions}\n")

    assert dockerfiles.check(file) == []


def test_the_dockerfiles_of_this_repository_create_their_folders() -> None:
    files = [*ROOT.glob("*/Dockerfile"), *ROOT.glob("deploy/*/Dockerfile")]

    assert len(files) == 5
    assert [message for file in files for message in dockerfiles.check(file)] == []
