"""Many viewers of one answer connect, leave, and send arbitrary cursors."""

import asyncio
import contextlib
import random
from pathlib import Path

import httpx

from tests.chaos.browser_tab import BrowserTab, watched
from tests.chaos.fault_injector import REPLICAS, FaultInjector, random_pause
from tests.chaos.model_server import script, text
from tests.stack import until
from tests.system.user import User

VIEWERS, CYCLES = 10, 200
POOLED = 10  # connections that a burst of requests may leave in pools
FORGED = [
    "999999.1",
    "1.99",
    "1.0",
    "-1.1",
    "0.1",
    "1",
    ".",
    "1.1.1",
    "abc",
    "1.1; DROP TABLE chats",
    "9" * 400 + ".1",
    "1e3.1",
    "%00",
]
FORGED_BYTES = ["\u0661.\u0661".encode(), b"\xff\xfe", "1.1\u2028".encode()]
KIB = 1024


async def test_ten_viewers_that_reconnect_all_end_exact(faults: FaultInjector, ada: User) -> None:
    answer = text(20)
    question = script(answer, 4)
    path = await ada.say(question)

    tabs = await asyncio.gather(*(come_and_go(faults, ada, path, answer) for _ in range(VIEWERS)))

    await faults.exact(ada, path, answer, *tabs)
    assert sum(tab.lost for tab in tabs) == 0, "no tab lost its stream"
    assert len(await faults.model.requests_of(question)) == 1


async def come_and_go(faults: FaultInjector, user: User, path: str, answer: str) -> BrowserTab:
    """Connects to random replicas repeatedly, and finally follows to the end."""
    tab: BrowserTab | None = None
    for _ in range(random.randrange(2, 7)):
        async with faults.at(user, random.choice(REPLICAS)) as http:
            tab = await next_visit(http, path, answer, tab)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.1, 0.7)):
                    await tab.follow()
        await random_pause(0.3)
    assert tab
    return await tab.elsewhere(user.http).follow()


async def next_visit(http: httpx.AsyncClient, path: str, answer: str, before: BrowserTab | None) -> BrowserTab:
    """The page as left, as it was earlier, or reloaded; sometimes with an invalid cursor."""
    match random.randrange(4):
        case 0 if before and before.history and not before.is_done:
            tab = before.elsewhere(http)
            tab.restore(random.choice(list(before.history)))
        case 1 if before and not before.is_done:
            tab = before.elsewhere(http)
        case 2:
            tab = await BrowserTab(http, path, answer).load()
            tab.cursor = random.choice(FORGED)
        case _:
            tab = await BrowserTab(http, path, answer).load()
    return tab


async def test_any_cursor_shows_the_whole_message(faults: FaultInjector, ada: User) -> None:
    answer = text()
    path = await ada.say(script(answer, 2.5))
    places: list[str | bytes] = [*FORGED, *FORGED_BYTES]
    await random_pause(1.0, 0.5)

    page = await BrowserTab(ada.http, path, answer).load()
    assert not page.is_done
    tabs = []
    for place in places:
        by_header, by_address = page.elsewhere(ada.http), page.elsewhere(ada.http)
        by_header.cursor = place
        by_address.go_to(place)
        tabs += [by_header, by_address]

    async with watched(*tabs):
        pass
    await faults.exact(ada, path, answer, *tabs)


async def test_another_session_cannot_see_the_answer(faults: FaultInjector, ada: User, eve: User) -> None:
    path = await ada.say(script(text(), 1.5))
    async with faults.at(eve, "web-1") as one, faults.at(eve, "web-2") as two, faults.at(ada, "web-1") as own:
        addresses = [f"{path}/stream", f"{path}/stream?after=1.1", path.partition("/messages/")[0]]
        answers = [
            await http.get(address, headers={"Accept": accept, "Last-Event-ID": "1.1"})
            for http in (one, two)
            for address in addresses
            for accept in ("text/event-stream", "text/html", "text/plain")
        ]
        stops = [await http.post(f"{path}/stop") for http in (one, two)]

        async with own.stream("GET", f"{path}/stream", headers={"Accept": "text/event-stream"}) as mine:
            assert mine.status_code == 200

    assert {answer.status_code for answer in [*answers, *stops]} == {404}
    assert not [answer for answer in answers if "Sentence" in answer.text]
    assert (await ada.ended(path))["status"] == "complete"


async def test_two_hundred_visits_leave_nothing_behind(faults: FaultInjector, ada: User) -> None:
    answer = text(20)
    path = await ada.say(script(answer, 20))
    await visits(faults, ada, path, CYCLES)  # fills the caches and the pools of connections
    before = await until(lambda: settled(faults))

    await visits(faults, ada, path, CYCLES)

    after = await until(lambda: settled(faults))
    for service, (descriptors, threads, kib) in before.items():
        assert after[service][0] <= descriptors + POOLED, (service, before, after)
        assert after[service][1] <= threads + 1, (service, before, after)
        assert after[service][2] <= kib + 4 * KIB, (service, before, after)
    await ada.stop(path)
    await ada.ended(path)
    await until(faults.model.is_idle)


async def visits(faults: FaultInjector, user: User, path: str, times: int) -> None:
    """Through nginx and directly, three at a time; each disconnects, most of them during the answer."""
    async with faults.at(user, "web-1") as one, faults.at(user, "web-2") as two:
        doors = [user.http, one, two]
        for _ in range(0, times, len(doors)):
            await asyncio.gather(*(visit(http, path) for http in doors))


async def visit(http: httpx.AsyncClient, path: str) -> None:
    async with http.stream("GET", f"{path}/stream", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_raw()
        for _ in range(random.randrange(3)):
            await anext(pieces)


async def settled(faults: FaultInjector) -> dict[str, tuple[int, int, int]] | None:
    """Open files, threads and KiB of memory of each process, once two readings agree; and connections to PostgreSQL."""
    looks = []
    for _ in range(2):
        look = {service: usage(faults.pid(service)) for service in (*REPLICAS, "dbapi-1")}
        look |= {f"nginx {worker}": usage(worker) for worker in faults.children("nginx")}
        look["postgres"] = (
            await faults.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'runnel_app'"),
            0,
            0,
        )
        looks.append(look)
        await asyncio.sleep(0.3)
    steady = all(looks[0][service][:2] == looks[1][service][:2] for service in looks[0])
    return looks[1] if steady else None


def usage(pid: int) -> tuple[int, int, int]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"]), int(status["VmRSS"].split()[0])
