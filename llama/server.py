"""Configures and starts llama.cpp's HTTP server."""

from pathlib import Path

import xllamacpp

from llama.settings import Settings


def serve(model: Path, settings: Settings) -> xllamacpp.Server:
    """Load the model and return the running server. While it loads, /health responds with 503.

    Raises RuntimeError if the model cannot be loaded.
    """
    return xllamacpp.Server(_parameters(model, settings))


def _parameters(model: Path, settings: Settings) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {model.stem}
    params.hostnames = [settings.llama_host]
    params.port = settings.llama_port
    params.api_keys = [settings.llama_api_key] if settings.llama_api_key else []
    params.n_parallel = settings.llama_slots
    params.n_ctx = settings.llama_slots * settings.llama_context  # llama.cpp's value is the sum over all slots
    params.fit_params = False  # otherwise llama.cpp may reduce the context
    params.cpuparams.n_threads = settings.llama_threads
    params.cpuparams_batch.n_threads = settings.llama_threads
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_ram_mib = settings.llama_prompt_cache
    params.endpoint_slots = False  # it shows the prompts of other users
    params.ui = False
    return params
