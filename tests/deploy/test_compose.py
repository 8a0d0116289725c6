"""compose.yml: what its services are built from."""

from collections import Counter

import yaml

from tests.stack import ROOT

SERVICES = yaml.safe_load((ROOT / "compose.yml").read_text())["services"]


def comes_before(service: str) -> set[str]:
    """All that have to be there first."""
    direct = set(SERVICES[service].get("depends_on", {}))
    return direct.union(*(comes_before(each) for each in direct))


def test_an_image_is_built_once_or_whoever_starts_next_replaces_every_container() -> None:
    built = Counter(each["image"] for each in SERVICES.values() if "build" in each and "profiles" not in each)

    assert len(built) == 4
    assert set(built.values()) == {1}


def test_who_uses_the_image_of_another_comes_after_it_and_never_asks_a_registry() -> None:
    builders = {each["image"]: name for name, each in SERVICES.items() if "build" in each}
    users = {name: each for name, each in SERVICES.items() if "build" not in each and each["image"] in builders}

    assert users.keys() == {"owner", "migrate", "dbapi"}
    for name, each in users.items():
        assert each["pull_policy"] == "never"
        assert builders[each["image"]] in comes_before(name)
