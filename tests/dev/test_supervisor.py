"""`make dev`, as seen from the terminal."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.rundir import is_alive
from tests.dev.conftest import ROOT, MakeDev, responds, suspend, until

Start = Callable[..., MakeDev]
ALL = ["dbapi-1", "nginx", "postgres", "web-1"]

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="looks for processes in /proc")


def test_prints_ready_once_when_chats_work(start: Start) -> None:
    dev = start()

    dev.wait_for(r"^ready: http://127\.0\.0\.1:\d+$")

    address = re.search(r"^ready: (.*)$", dev.text, re.MULTILINE)
    assert address
    assert responds(f"{address[1]}/readyz")
    assert dev.text.count("ready: ") == 1
    assert sorted(file.stem for file in dev.run.glob("*.pid")) == ALL
    assert responds(dev.url("web-1"))


def test_the_address_comes_at_once_without_a_model_server_and_with_what_is_missing(start: Start) -> None:
    dev = start(MODEL_STATE="down", LLAMA_URL="http://ada:lovelace@127.0.0.1:9")

    dev.wait_for(r"^ready: http://127\.0\.0\.1:\d+$")

    assert "warning: the model server at http://127.0.0.1:9 does not respond" in dev.text
    assert "still waiting" not in dev.text
    assert "lovelace" not in dev.text


def test_says_which_devices_can_open_the_address(start: Start) -> None:
    dev = start()

    dev.wait_for(
        "^ready: .*\n +only this machine can open it; for other devices: BIND=0.0.0.0 PUBLIC_URL=http://.+ make dev$"
    )


def test_a_misspelt_variable_is_reported_before_anything_starts(start: Start, tree: Path) -> None:
    shutil.copy(ROOT / ".env.example", tree)
    (tree / ".env").write_text("WEB_REPLICA=2\n")
    dev = start(PULBIC_URL="http://chat.test", PORT="80x")

    assert dev.process.wait(30) == 1
    assert dev.text.splitlines() == [
        "warning: .env sets WEB_REPLICA, which is not a setting; did you mean WEB_REPLICAS?",
        "warning: PULBIC_URL is set, which is not a setting; did you mean PUBLIC_URL?",
        "make dev: PORT must be a whole number, not '80x'",
    ]


def test_starts_each_service_after_its_dependencies(start: Start) -> None:
    dev = start(WEB_REPLICAS="2", DBAPI_REPLICAS="2")

    dev.wait_for("^ready: ")

    order = [dev.text.index(f"{service} is ready") for service in ("postgres", "dbapi-1", "web-1")]
    assert order == sorted(order)
    assert len({dev.url(name) for name in ("web-1", "web-2", "dbapi-1", "dbapi-2", "dbapi")}) == 5
    assert responds(dev.url("dbapi")), "both are behind one address"


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_process(start: Start, stop_signal: signal.Signals) -> None:
    dev = start(WEB_REPLICAS="2", DBAPI_REPLICAS="2")
    dev.wait_for("^ready: ")
    assert len(dev.running()) > 6

    code = dev.stop(stop_signal)

    assert code == 0
    assert dev.running() == []
    assert list(dev.run.glob("*.pid")) == []


def test_a_signal_during_the_start_stops_every_process(start: Start) -> None:
    dev = start()
    dev.wait_for("creating a PostgreSQL cluster")

    code = dev.stop()

    assert code == 0
    assert dev.running() == []
    again = start()
    again.wait_for("^ready: ")


@pytest.mark.parametrize("service", ["web-1", "dbapi-2", "inner-nginx", "nginx", "postgres"])
def test_a_killed_service_is_restarted_at_the_same_address(start: Start, service: str) -> None:
    dev = start(DBAPI_REPLICAS="2")
    dev.wait_for("^ready: ")
    before, pid = {file.name: file.read_text() for file in dev.run.glob("*.url")}, dev.pid(service)

    os.kill(pid, signal.SIGKILL)

    dev.wait_for(f"{service} exited unexpectedly .killed by SIGKILL.")
    dev.wait_for(f"{service} is back")
    assert dev.pid(service) != pid
    assert {file.name: file.read_text() for file in dev.run.glob("*.url")} == before
    assert responds(f"{dev.url('nginx')}/readyz")


def test_a_service_that_was_ready_is_restarted_without_delay_each_time(start: Start) -> None:
    dev = start()
    dev.wait_for("^ready: ")

    for round_ in range(1, 6):
        os.kill(dev.pid("web-1"), signal.SIGKILL)
        until(lambda round_=round_: dev.text.count("web-1 is back") == round_)  # type: ignore[misc]

    assert "restarting in" not in dev.text


def test_prints_the_end_of_the_log_of_a_service_that_cannot_start(start: Start) -> None:
    dev = start(BROKEN="WEB")

    code = dev.process.wait(30)

    assert code == 1
    assert "web-1 cannot start (exit code 1)" in dev.text
    assert "WEB is broken on purpose" in dev.text
    assert "log/web-1.log" in dev.text
    assert dev.running() == []


def test_a_second_make_dev_on_the_same_data_is_refused(start: Start) -> None:
    first = start()
    first.wait_for("^ready: ")

    second = start(PORT="18999")

    assert second.process.wait(30) == 1
    assert f"another `make dev` (process {first.process.pid}) uses" in second.text
    assert responds(f"{first.url('nginx')}/readyz")


def test_a_port_in_use_is_reported_before_anything_starts(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev = start(PORT=str(port))
        code = dev.process.wait(30)

    assert code == 1
    assert f"port {port} on 127.0.0.1 is in use" in dev.text
    assert not (dev.run.parent / "postgres").exists()


def test_starts_after_a_kill_that_left_services_running(start: Start) -> None:
    dev = start()
    dev.wait_for("^ready: ")
    web = dev.pid("web-1")
    suspend(web)  # a stopped process does not handle the SIGTERM it gets when the supervisor dies

    dev.stop(signal.SIGKILL)
    assert is_alive(web)
    again = start()

    again.wait_for("^ready: ")
    assert re.search("stopping services that an earlier run left running: .*web-1", again.text)
    assert not is_alive(web)


def test_does_not_stop_another_process_that_reuses_the_id_of_an_old_service(start: Start) -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    dev = start()
    dev.wait_for("^ready: ")
    dev.stop(signal.SIGKILL)
    until(lambda: dev.running() == [])
    (dev.run / "web-1.pid").write_text(f"{other.pid}\n")

    again = start()
    again.wait_for("^ready: ")

    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_make(start: Start, stop_signal: signal.Signals, tree_with_makefile: None) -> None:
    dev = start(command=["make", "dev"])
    dev.wait_for("^ready: ")

    dev.stop(stop_signal)

    until(lambda: dev.running() == [])


def test_a_second_start_keeps_data_addresses_and_secrets(start: Start) -> None:
    first = start()
    first.wait_for("^ready: ")
    urls = {file.name: file.read_text() for file in first.run.glob("*.url")}
    token = (first.run / "dbapi.token").read_text()
    first.stop()

    began = time.monotonic()
    second = start()
    second.wait_for("^ready: ")

    assert time.monotonic() - began < 6
    assert {file.name: file.read_text() for file in second.run.glob("*.url")} == urls
    assert (second.run / "dbapi.token").read_text() == token


def test_only_the_owner_can_read_secret_files(start: Start) -> None:
    dev = start()
    dev.wait_for("^ready: ")

    files = [*(dev.run.parent / "secrets").iterdir(), dev.run / "dbapi.token", dev.run / "postgres.url"]

    assert len(files) > 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((dev.run.parent / "secrets").stat().st_mode) == 0o700


def test_each_service_receives_only_its_own_secrets(start: Start) -> None:
    dev = start()
    dev.wait_for("^ready: ")
    secrets = {file.name: file.read_text().strip() for file in (dev.run.parent / "secrets").iterdir()}

    def knows(service: str) -> set[str]:
        with open(f"/proc/{dev.pid(service)}/environ") as file:
            text = file.read()
        return {name for name, secret in secrets.items() if secret in text}

    assert knows("web-1") == {"secret_keys", "dbapi_keys"}
    assert knows("dbapi-1") == {"runnel_app", "dbapi_keys"}
    assert knows("nginx") == knows("postgres") == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "80x"),
        ("PORT", "70000"),
        ("WEB_REPLICAS", "0"),
        ("PUBLIC_URL", "https://example.org/chat"),
        ("PUBLIC_URL", "example.org"),
    ],
)
def test_an_invalid_setting_is_reported_by_name(start: Start, name: str, value: str) -> None:
    dev = start(**{name: value})

    assert dev.process.wait(30) == 1
    assert name in dev.text
    assert value.rpartition("/")[2] in dev.text
    assert "Traceback" not in dev.text


def test_a_missing_model_is_reported_before_anything_starts(start: Start) -> None:
    dev = start(MODEL="/no/such.gguf", LLAMA_URL="")

    assert dev.process.wait(30) == 1
    assert dev.text == "make dev: the model file /no/such.gguf does not exist\n"
    assert not (dev.run.parent / "postgres").exists()


def test_an_unreachable_database_is_reported_without_its_password(start: Start) -> None:
    dev = start(DATABASE_URL="postgresql://ada:lovelace@127.0.0.1:9/chats")

    assert dev.process.wait(30) == 1
    assert "cannot connect to DATABASE_URL, the database chats on 127.0.0.1:9" in dev.text
    assert "lovelace" not in dev.text
    assert "Traceback" not in dev.text


@pytest.fixture
def tree_with_makefile(tree: Path) -> None:
    """Add the Makefile, with stamps that say everything is installed."""
    for name in ("Makefile", "requirements"):
        (tree / name).symlink_to(ROOT / name)
    python = tree / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tree / ".venv" / "dev.stamp").touch()
