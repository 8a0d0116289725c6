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
    except (SettingsError, model.ModelFileError, OSError) as error:
        sys.exit(f"llama: {error}")

    from llama import server  # imported late: loading the library is slow, and invalid settings are reported first

    try:
        running = server.serve(path, given)
    except RuntimeError:
        sys.exit(
            f"llama: cannot load {path}: the file is incomplete or damaged, or this version of llama.cpp does not "
            "support the model; see llama.cpp's messages above"
        )
    # SIGTERM keeps its default action, which ends the process at once: there is no state to save, and a Python signal
    # handler could not run while the model loads.
    signal.sigwait({signal.SIGINT})
    del running


def refuse_taken_port(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from None


if __name__ == "__main__":
    main()
