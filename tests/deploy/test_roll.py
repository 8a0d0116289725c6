"""roll.sh, with a docker that only keeps a list of containers: who stays when a new one fails."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.stack import ROOT

# A container is a file, named "<service>-<id>", that says how it is. HEALTH says how new ones are.
DOCKER = """#!/bin/sh
cd "$CONTAINERS"
case "$*" in
    "compose ps "*) for last; do :; done; ls | grep "^$last-" || true ;;
    "compose up "*) for last; do :; done; echo "$HEALTH" > "$last-new$$"; [ "$7" = "$last=$(ls | grep -c "^$last-")" ] ;;
    "inspect "*) cat "$4" ;;
    "logs "*) echo "log of $4" ;;
    "stop "*) echo stopped > "$2" ;;
    "rm "*) for last; do :; done; rm "$last" ;;
    "compose run "*) exit "${MIGRATION:-0}" ;;
esac
"""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.containers = folder / "containers"
        self.containers.mkdir()
        self.programs = folder / "programs"
        self.programs.mkdir()
        (self.programs / "docker").write_text(DOCKER)
        (self.programs / "docker").chmod(0o755)
        for name in ("dbapi-a", "web-a", "web-b"):
            (self.containers / name).write_text("healthy")

    def roll(self, *services: str, health: str = "healthy", **environ: str) -> tuple[int, str]:
        """The exit status, and what was said."""
        paths = {"PATH": f"{self.programs}:{os.environ['PATH']}", "CONTAINERS": str(self.containers)}
        times = {"HEALTHY_SECONDS": "1", "SETTLE_SECONDS": "0"}
        script = ROOT / "deploy" / "compose" / "roll.sh"
        done = subprocess.run(
            [script, *services],
            env=os.environ | paths | times | {"HEALTH": health} | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.returncode, done.stderr

    @property
    def there(self) -> set[str]:
        return {path.name for path in self.containers.iterdir()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_each_is_replaced_and_there_are_as_many_as_before(machine: Machine) -> None:
    code, _ = machine.roll()

    assert code == 0
    assert sorted(name.partition("-")[0] for name in machine.there) == ["dbapi", "web", "web"]
    assert not machine.there & {"dbapi-a", "web-a", "web-b"}


@pytest.mark.parametrize("health", ["unhealthy", "starting"])
def test_a_new_one_that_does_not_get_healthy_is_gone_again_and_the_old_go_on(machine: Machine, health: str) -> None:
    code, said = machine.roll("web", health=health)

    assert code == 1
    assert machine.there == {"dbapi-a", "web-a", "web-b"}
    assert "the new web doesn't get healthy" in said
    assert "log of web-new" in said
    assert "the old go on: 2" in said


def test_nothing_is_replaced_when_the_migration_fails(machine: Machine) -> None:
    code, _ = machine.roll(MIGRATION="1")

    assert code == 1
    assert machine.there == {"dbapi-a", "web-a", "web-b"}


def test_what_there_can_be_only_one_of_is_refused(machine: Machine) -> None:
    code, said = machine.roll("web", "db")

    assert code == 2
    assert "there can't be two db" in said
    assert machine.there == {"dbapi-a", "web-a", "web-b"}


def test_it_says_so_when_nothing_runs(machine: Machine) -> None:
    (machine.containers / "dbapi-a").unlink()

    code, said = machine.roll()

    assert code == 1
    assert "no dbapi is running" in said
