"""Metrics of this process in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/

Only for the internal address: nginx does not forward requests for it.
"""

from collections.abc import Iterator
from typing import Literal

from starlette.responses import PlainTextResponse, Response

from web.state import Request

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def show(request: Request) -> Response:
    body = "".join(f"{line}\n" for line in _lines(request))
    return PlainTextResponse(body, headers={"Content-Type": CONTENT_TYPE})


def _lines(request: Request) -> Iterator[str]:
    worker, viewers = request.state["worker"], request.state["live_answers"].viewers
    servers = {_labels(backend.name): llama for backend, llama in request.state["models"].all}
    ended = {f'{{status="{status}"}}': worker.ended[status] for status in ("complete", "stopped", "failed")}
    ready = {labels: int(llama.state == "ready") for labels, llama in servers.items()}
    slots = {labels: llama.slots for labels, llama in servers.items()}
    yield from _metric("runnel_answers_running", "gauge", "Answers this process is generating.", {"": worker.running})
    yield from _metric("runnel_answers_ended_total", "counter", "Answers this process has finished.", ended)
    yield from _metric("runnel_streams_open", "gauge", "Open streams of answers.", {"": viewers})
    yield from _metric("runnel_model_ready", "gauge", "1 if the model server is ready.", ready)
    yield from _metric("runnel_model_slots", "gauge", "Answers that all processes together generate at once.", slots)


def _labels(backend: str) -> str:
    """Of the servers in MODELS_FILE. A single one needs no name."""
    return f'{{backend="{backend}"}}' if backend else ""


def _metric(name: str, kind: Literal["gauge", "counter"], text: str, samples: dict[str, int]) -> list[str]:
    lines = [f"{name}{labels} {value}" for labels, value in samples.items()]
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines]
