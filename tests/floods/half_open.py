"""`python -m tests.floods.half_open PORT COUNT`: holds COUNT half-sent requests open, until its standard input ends.

Prints a line when all are open.
"""

import asyncio
import resource
import sys

HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
AT_ONCE = 100


async def main(port: int, count: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held: list[asyncio.StreamWriter] = []

    async def hold() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        held.append(writer)

    while len(held) < count:
        await asyncio.gather(*(hold() for _ in range(min(AT_ONCE, count - len(held)))))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
