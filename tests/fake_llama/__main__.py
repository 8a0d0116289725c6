"""A scripted stand-in for llama.cpp's server: `python -m tests.fake_llama --port 8081`, or `with server.running() as url:`.

The last user message chooses the answer: a JSON object is a `Script`, anything else gets Markdown made from it, always the
same. `GET /__seen` tells what was asked, `POST /__control` changes the `Settings`, `POST /__reset` forgets everything.
Shapes, error bodies and manners are those measured on llama.cpp in October 2026.
"""

import argparse

import uvicorn

from tests.fake_llama.server import FakeLlama


def main() -> None:
    manner = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.fake_llama", description=__doc__, formatter_class=manner)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--no-replay", action="store_true", help="behave like a server that is not llama.cpp")
    given = parser.parse_args()
    app = FakeLlama(slots=given.slots, replay=not given.no_replay)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
