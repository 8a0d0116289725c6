"""Only nginx is reachable from outside, and the logs of a whole run contain nothing private."""

import json
import re
import socket
import time
from pathlib import Path

import asyncpg
import pytest

from tests.stack import client
from tests.system.running import Runnel
from tests.system.user import User

INNER = [
    "/api",
    "/internal",
    "/dbapi",
    "/v1/chat/completions",
    "/v1/models",
    "/slots",
    "/props",
    "/metrics",
    "/docs",
    "/openapi.json",
]
INNER += ["/..%2f", "/generations/claim", "/sessions", "/events", "/.env", "/.git/config", "/static/../settings.py"]
TRAVERSALS = [
    "..%2f..%2fetc/passwd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..\\..\\etc\\passwd",
    "%00",
    "a;b",
    "x" * 3000,
    "%ff",
    ".%2e/settings.py",
]
FORGED = ["x\x1b[31m", '"}{"level":"error"', "a" * 3000, "%0d%0aINFO:%20fake"]


@pytest.mark.parametrize("path", INNER)
async def test_no_inner_url_is_reachable_through_nginx(ada: User, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await ada.http.request(method, path)
        assert answer.status_code in (400, 404, 405), (method, path, answer.status_code)
        assert not {"slots", "openapi", "choices"} & set(answer.text.split('"'))


@pytest.mark.parametrize("name", TRAVERSALS)
async def test_only_files_in_the_static_folder_are_served(ada: User, name: str) -> None:
    answer = await ada.http.get(f"/static/{name}")

    assert answer.status_code in (400, 404)
    assert "root:" not in answer.text


def test_every_service_listens_on_loopback_only(runnel: Runnel) -> None:
    family, found = runnel.processes(), {}
    inodes = {
        link.readlink().name[8:-1]: name
        for pid, name in family.items()
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink() and link.readlink().name.startswith("socket:[")
    }
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in inodes:
                address = bytes.fromhex(local.partition(":")[0])[::-1]
                found[local] = socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)

    assert len(found) >= 5, "nginx, web, dbapi, llama.cpp and PostgreSQL"
    assert set(found.values()) <= {"127.0.0.1", "::1"}


async def test_no_log_contains_messages_user_names_or_secrets(runnel: Runnel, ada: User) -> None:
    canaries = {
        name: f"canary-{name}-{number}"
        for number, name in enumerate(("said", "title", "query", "header", "name", "instruction", "link"), 7_390_231)
    }
    await ada.begin(canaries["name"])
    answer = await ada.say(f"Say this: {canaries['said']}")
    await ada.http.get(
        f"{ada.chat}?q={canaries['query']}",
        headers={"X-Canary": canaries["header"], "Referer": f"http://{canaries['header']}/"},
    )
    await ada.http.post(f"{ada.chat}/title", data={"title": canaries["title"]})
    await ada.http.post(f"{ada.chat}/settings", data={"system_prompt": canaries["instruction"]})
    await ada.http.post("/join", data={"code": canaries["link"]})
    page = await ada.http.post("/devices/link")
    code = re.findall(r"code=([\w-]{43})", page.text)[0]
    await ada.http.get(f"/join?code={code}")
    for forged in FORGED:
        await ada.http.get("/nowhere", headers={"X-Request-ID": forged.replace("\x1b", "")})
        await ada.http.get(f"/{forged.replace(chr(27), '%1b')}")
    await ada.http.post(f"{ada.chat}/messages", content=b"\xff" * 1000)
    await ada.ended(answer)
    with runnel.without("dbapi-1"):
        await ada.http.post(f"{ada.chat}/messages", data={"content": canaries["said"]})
        await ada.http.post(f"{ada.chat}/title", data={"title": canaries["title"]})
    await runnel.wait_restarted("dbapi-1")

    secrets = {file.name: file.read_text().strip() for file in (runnel.dev.run.parent / "secrets").iterdir()}
    secrets |= {
        "cookie": ada.http.cookies["runnel"],
        "token": ada.http.cookies["runnel"].rsplit(".", 2)[0],
        "code": code,
    }
    logs = {file.name: file.read_bytes() for file in (runnel.dev.run.parent / "log").iterdir()} | {
        "terminal": runnel.dev.output.read_bytes()
    }

    assert {"web-1.log", "dbapi-1.log", "nginx.log", "postgres.log", "llama.log"} <= logs.keys()
    assert b"/devices/link" in logs["nginx.log"], "requests are logged"
    assert b"unavailable" in logs["web-1.log"]
    private = canaries | secrets
    leaks = [(name, log) for log, text in logs.items() for name, value in private.items() if value.encode() in text]
    assert leaks == []
    for log in ("web-1.log", "dbapi-1.log", "nginx.log"):
        for line in logs[log].decode().splitlines():
            assert line.isprintable()
            if line.startswith("{"):
                assert json.loads(line)


async def test_thousands_of_chats_and_messages_load_within_a_second(runnel: Runnel, ada: User) -> None:
    owner = await asyncpg.connect(runnel.dev.url("postgres"))
    try:
        chat_id = ada.chat.removeprefix("/chats/")
        session = await owner.fetchval("SELECT session_id FROM chats WHERE id = $1", chat_id)
        await owner.execute(
            "INSERT INTO chats (session_id, username, title) "
            "SELECT $1, 'Ada', 'Chat ' || n FROM generate_series(1, 2000) n",
            session,
        )
        await owner.execute(LONG_CHAT.replace("$1", f"'{session}'").replace("$2", f"'{chat_id}'"))
    finally:
        await owner.close()

    async with client(runnel.origin, cookies=ada.http.cookies) as http:
        for path in ("/", ada.chat):
            started = time.monotonic()
            page = await http.get(path)
            seconds = time.monotonic() - started
            print(f"\n{path[:7]}: {seconds * 1000:.0f} ms, {len(page.content)} bytes")
            assert page.status_code == 200
            assert seconds < 1
            assert len(page.content) < 1_500_000


LONG_CHAT = """
DO $$
DECLARE
  last uuid := (SELECT tip_id FROM chats WHERE id = $2);
BEGIN
  FOR number IN 1..2500 LOOP
    INSERT INTO messages (session_id, chat_id, parent_id, role, content)
    VALUES ($1, $2, last, 'user', 'Question ' || number) RETURNING id INTO last;
    INSERT INTO messages (session_id, chat_id, parent_id, role, content)
    VALUES ($1, $2, last, 'assistant', repeat('An answer of some length. ', 310)) RETURNING id INTO last;
  END LOOP;
  UPDATE chats SET tip_id = last WHERE id = $2;
END $$
"""
