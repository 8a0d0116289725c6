"""A scripted stand-in for llama.cpp's server.

Run `python -m tests.fake_llama --port 8081`, or use `with server.running() as url:`.

The last user message selects the answer: a JSON object is a `Script`; any other text gets Markdown that is derived from
it and always the same. `GET /__seen` returns all requests, `POST /__control` changes the `Settings`, `POST /__reset`
restores the initial state. Formats, error bodies and behaviour were measured on llama.cpp in October 2026.
"""

import argparse

import uvicorn

from tests.fake_llama.server import FakeLlama


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fake_llama", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--no-replay", action="store_true", help="behave like a server that is not llama.cpp")
    given = parser.parse_args()
    app = FakeLlama(slots=given.slots, replay=not given.no_replay)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
