"""`python -m llama`: serve the model until SIGTERM."""

import signal
import socket
import sys

from kit.settings import SettingsError
from llama import model, settings


def main() -> None:
    try:
        given = settings.read()
        path = model.find()
        refuse_taken_port(given.llama_host, given.llama_port)
    except (SettingsError, model.ModelError, OSError) as error:
        sys.exit(f"llama: {error}")

    from llama import server  # only now: the library takes a while, and a wrong setting needs none of it

    try:
        running = server.serve(path, given)
    except RuntimeError:
        sys.exit(
            f"llama: {path} can't be loaded: the file is incomplete or damaged, or of a kind this llama.cpp "
            "doesn't know; its own words are just above"
        )
    # SIGTERM keeps its default action, the quickest end there is: nothing here is worth saving,
    # and a handler of ours could not run while the model loads.
    signal.sigwait({signal.SIGINT})
    del running


def refuse_taken_port(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            raise OSError(f"can't listen on {host}:{port}: {error.strerror}") from None


if __name__ == "__main__":
    main()
