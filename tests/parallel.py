"""Distributes the tests over the workers of pytest-xdist.

A worker gets whole files, so that fixtures of a module start once. Files that must not share the machine run last, on
one worker, after all others have stopped together with the services that they started.
"""

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from dev import ports

TOGETHER = ("tests/browser/", "tests/chaos/", "tests/system/")  # folders whose files share one running Runnel
LONG = (
    "tests/chaos/",
    "tests/browser/",
    "tests/dev/",
    "tests/system/",
    "tests/deploy/",
)  # start first, the longest before
ALONE = ("tests/floods/",)  # compares response times with and without load


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        config.option.loadscopereorder = False  # keep the order of `order`
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ALONE):
            return "alone"
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])

    def _reschedule(self, node: WorkerController) -> None:
        """Stop all workers but one before the files that run alone."""
        others = [other for other in self.nodes if other is not node]
        if list(self.workqueue) != ["alone"] or not others:
            super()._reschedule(node)
        elif not all(other.shutting_down for other in others):
            node.shutdown()

    def remove_node(self, node: WorkerController) -> str | None:
        crashed: str | None = super().remove_node(node)
        for last in self.nodes if len(self.nodes) == 1 else []:
            self._reschedule(last)
        return crashed


def order(path: str) -> tuple[bool, int]:
    """The sort key of a file, by its path from the root."""
    rank = next((rank for rank, folder in enumerate(LONG) if path.startswith(folder)), len(LONG))
    return path.startswith(ALONE), rank


def reserve_ports() -> None:
    """Gives each worker its own ports: half for the tests themselves, half for the supervisors that they start."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    worker, workers = (
        int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")),
        int(os.environ["PYTEST_XDIST_WORKER_COUNT"]),
    )
    half = len(ports.INNER) // workers // 2
    first = ports.INNER.start + 2 * half * (
        worker % workers
    )  # a worker that replaces a crashed one has a higher number
    ports.INNER = range(first, first + half)
    os.environ["INNER_PORTS"] = f"{first + half}-{first + 2 * half - 1}"
