"""The settings of the model server: one line for each environment variable, with its default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from kit import settings
from kit.settings import SettingsError
from llama.memory import prompt_cache_mib


@dataclass(frozen=True)
class Settings:
    llama_host: str = "127.0.0.1"
    llama_port: int = 8081
    llama_slots: int = 4  # concurrent answers
    llama_context: int = 4096  # tokens per slot
    # One core is left to the other services. llama.cpp's threads wait for each other: on 2 cores, another busy process
    # reduced 85 tokens/s to between 3 and 15 with 2 threads, but only 51 tokens/s to 32 with one.
    llama_threads: int = max(1, (os.cpu_count() or 1) - 1)
    llama_prompt_cache: int = prompt_cache_mib()  # MiB, for prompts whose slot another chat took; 0: none
    llama_api_key: str = ""  # empty: no authentication


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError with a message for the terminal."""
    given = settings.read(Settings, environ)
    for name in ("llama_port", "llama_slots", "llama_context", "llama_threads"):
        if getattr(given, name) < 1:
            raise SettingsError(f"{name.upper()} must be at least 1, not {getattr(given, name)}")
    return given
