"""What the model server can be told: one line for each environment variable, with its default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from kit import settings
from kit.settings import SettingsError


@dataclass(frozen=True)
class Settings:
    llama_host: str = "127.0.0.1"
    llama_port: int = 8081
    llama_slots: int = 4  # answers written at the same time
    llama_context: int = 4096  # tokens for each of them
    # One core is left to the rest of the house: llama.cpp's threads wait for each other, and with as many as there are cores
    # one busy neighbour made 85 tokens a second into 3 to 15 (2 cores); with one fewer, 51 into 32.
    llama_threads: int = max(1, (os.cpu_count() or 1) - 1)
    llama_api_key: str = ""  # empty: whoever reaches the port may ask


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError, whose message is a sentence for the terminal."""
    given = settings.read(Settings, environ)
    for name in ("llama_port", "llama_slots", "llama_context", "llama_threads"):
        if getattr(given, name) < 1:
            raise SettingsError(f"{name.upper()} must be at least 1, not {getattr(given, name)}")
    return given
