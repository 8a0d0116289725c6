"""`python -m dev`: run all of Runnel on this machine until Ctrl-C."""

import asyncio
import os
import sys
from pathlib import Path

from dev import ports, settings, unknown
from dev.rundir import RunDir
from dev.services import Services
from dev.supervisor import Supervisor
from dev.terminal import StartError, fail, line
from kit.settings import SettingsError
from llama.model import ModelFileError


def main() -> int:
    root = Path(__file__).parent.parent
    for warning in unknown.warnings(root, os.environ):
        line(f"warning: {warning}")
    try:
        given = settings.read()
        os.environ["DATA_DIR"] = str(given.data_dir)  # absolute, because the services run in another folder
        os.chdir(root)
        run = RunDir(given.data_dir / "run")
        with run.locked():
            run.end_leftovers()
            ports.reserve(given.bind, given.port)
            if given.tls_certificate:
                ports.reserve(given.bind, given.tls_port)
            asyncio.run(Supervisor(Services(given, run)).run())
    except (SettingsError, StartError, ModelFileError) as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
