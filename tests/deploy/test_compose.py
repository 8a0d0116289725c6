"""compose.yml: the images of its services, and the secrets that its first service generates."""

import os
import re
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from deploy.compose import make_secrets
from tests.stack import ROOT

SERVICES = yaml.safe_load((ROOT / "compose.yml").read_text())["services"]


def dependencies(service: str) -> set[str]:
    """Return all services that start before this one."""
    direct = set(SERVICES[service].get("depends_on", {}))
    return direct.union(*(dependencies(each) for each in direct))


def test_every_image_is_built_by_exactly_one_service() -> None:
    # Otherwise Compose tags one image per service, and the next start replaces every container
    built = Counter(each["image"] for each in SERVICES.values() if "build" in each)

    assert len(built) == 5
    assert set(built.values()) == {1}


def test_a_service_that_uses_another_ones_image_starts_after_it_and_never_pulls() -> None:
    builders = {each["image"]: name for name, each in SERVICES.items() if "build" in each}
    users = {name: each for name, each in SERVICES.items() if "build" not in each and each["image"] in builders}

    assert users.keys() == {"owner", "migrate", "dbapi", "backup", "restore"}
    for name, each in users.items():
        assert each["pull_policy"] == "never"
        assert "profiles" in each or builders[each["image"]] in dependencies(name)


def test_a_service_that_writes_a_file_to_standard_output_builds_and_starts_nothing() -> None:
    # Compose writes the progress of a build to standard output: into the file
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "compose.yml"]
    commands = [
        command for each in documents for command in re.findall(r"docker compose .* > [\w.]+", each.read_text())
    ]
    services = {re.sub(r".* run (--\S+ )*", "", command).split()[0] for command in commands if " run " in command}

    assert services == {"backup"}
    for name in services:
        assert "build" not in SERVICES[name]
        assert dependencies(name) == set()
    # The image exists after each start
    assert any("backup-image" in dependencies(name) for name, each in SERVICES.items() if "profiles" not in each)


@pytest.mark.skipif(os.geteuid() != 0, reason="the secrets are given to the groups of other users")
def test_secrets_are_generated_once_and_each_service_reads_only_its_own(tmp_path: Path) -> None:
    make_secrets.main(tmp_path)
    first = {path.name: path.read_text() for path in (tmp_path / "keys").iterdir()}
    make_secrets.main(tmp_path)

    assert {path.name: path.read_text() for path in (tmp_path / "keys").iterdir()} == first
    assert len(set(first.values())) == len(make_secrets.NAMES)
    assert {file.name for file in (tmp_path / "dbapi").iterdir()} == {"dbapi_keys", "dbapi_database_url"}
    for service, group in (("web", 10001), ("dbapi", 10002), ("llama", 10003), ("backup", 10006)):
        status = (tmp_path / service).stat()
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (group, 0o750)
        assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / service).iterdir()} == {0o440}


def test_make_secrets_requires_a_folder() -> None:
    command = [sys.executable, "-m", "deploy.compose.make_secrets"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("usage: ")
