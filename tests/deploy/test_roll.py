"""roll.sh, with a fake docker command that only keeps a list of containers."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.stack import ROOT

# A container is a file named "<service>-<id>" that contains its health. HEALTH is the health of new containers.
# An image is a file named "<service>:latest" that contains its version; every build makes the version "new".
DOCKER = """#!/bin/sh
cd "$CONTAINERS"
build() { case $1 in secrets) echo new > ../images/dbapi:latest ;; *) echo new > "../images/$1:latest" ;; esac; }
case "$*" in
    "compose ps "*) for last; do :; done; ls | grep "^$last-" || true ;;
    "compose up "*) for last; do :; done; health=$HEALTH; [ "$last" = dbapi ] || health=${WEB_HEALTH:-$HEALTH}
        echo "$health" > "$last-new$$"
        [ "$7" = "$last=$(ls | grep -c "^$last-")" ] ;;
    "inspect --format "*.Image*) echo "${4%%-*} old ${4%%-*}:latest" ;;
    "inspect "*) cat "$4" ;;
    "tag "*) echo "$2" > "../images/$3" ;;
    "compose build "*) shift 2; for each; do build "$each"; done; exit "${BUILD:-0}" ;;
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
        self.images = folder / "images"
        self.images.mkdir()
        for name in ("dbapi", "web"):
            (self.images / f"{name}:latest").write_text("old")

    def roll(self, *services: str, health: str = "healthy", **environ: str) -> tuple[int, str]:
        """Run roll.sh and return its exit status and messages."""
        paths = {"PATH": f"{self.programs}:{os.environ['PATH']}", "CONTAINERS": str(self.containers)}
        times = {"HEALTHY_SECONDS": "1", "SETTLE_SECONDS": "0"}
        script = ROOT / "deploy" / "compose" / "roll.sh"
        result = subprocess.run(
            [script, *services],
            env=os.environ | paths | times | {"HEALTH": health} | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return result.returncode, result.stderr

    @property
    def existing(self) -> set[str]:
        return {path.name for path in self.containers.iterdir()}

    @property
    def tags(self) -> dict[str, str]:
        return {path.name.partition(":")[0]: path.read_text().strip() for path in self.images.iterdir()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_every_container_is_replaced_and_their_number_stays_the_same(machine: Machine) -> None:
    code, _ = machine.roll()

    assert code == 0
    assert sorted(name.partition("-")[0] for name in machine.existing) == ["dbapi", "web", "web"]
    assert not machine.existing & {"dbapi-a", "web-a", "web-b"}
    assert machine.tags == {"dbapi": "new", "web": "new", "backup-image": "new"}


@pytest.mark.parametrize("health", ["unhealthy", "starting"])
def test_an_unhealthy_new_container_is_removed_and_the_old_ones_keep_running(machine: Machine, health: str) -> None:
    code, messages = machine.roll("web", health=health)

    assert code == 1
    assert machine.existing == {"dbapi-a", "web-a", "web-b"}
    assert "the new web did not become healthy" in messages
    assert "log of web-new" in messages
    assert "old containers that keep running: 2" in messages
    assert machine.tags == {"dbapi": "old", "web": "old"}


@pytest.mark.parametrize("step", ["MIGRATION", "BUILD"])
def test_nothing_is_replaced_when_the_build_or_the_migration_fails(machine: Machine, step: str) -> None:
    code, messages = machine.roll(**{step: "1"})

    assert code == 1
    assert machine.tags == {"dbapi": "old", "web": "old"}
    assert "the images have their old tags again" in messages
    assert machine.existing == {"dbapi-a", "web-a", "web-b"}


def test_a_service_that_cannot_have_two_containers_is_refused(machine: Machine) -> None:
    code, messages = machine.roll("web", "db")

    assert code == 2
    assert "db cannot run twice" in messages
    assert machine.existing == {"dbapi-a", "web-a", "web-b"}


def test_a_service_that_is_not_running_is_reported(machine: Machine) -> None:
    (machine.containers / "dbapi-a").unlink()

    code, messages = machine.roll()

    assert code == 1
    assert "no dbapi is running" in messages


def test_a_replaced_service_keeps_its_new_image_when_the_next_one_is_refused(machine: Machine) -> None:
    code, _ = machine.roll(WEB_HEALTH="unhealthy")

    assert code == 1
    assert machine.tags == {"dbapi": "new", "web": "old"}
    assert {"web-a", "web-b"} < machine.existing
    assert "dbapi-a" not in machine.existing
