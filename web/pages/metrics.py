"""What this process is doing, in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/

For the inner address: nginx passes no request for it on.
"""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def show(request: Request) -> Response:
    return PlainTextResponse("".join(f"{line}\n" for line in _lines(request)), headers={"Content-Type": CONTENT_TYPE})


def _lines(request: Request) -> Iterator[str]:
    answers, watch, llama = request.state["answers"], request.state["watch"], request.state["llama"]
    yield from _metric("runnel_answers_running", "gauge", "Answers that this process writes.", {"": answers.running})
    ended = {f'{{status="{status}"}}': answers.ended[status] for status in ("complete", "stopped", "failed")}
    yield from _metric("runnel_answers_ended_total", "counter", "Answers that this process has finished.", ended)
    yield from _metric("runnel_streams_open", "gauge", "Viewers of answers.", {"": watch.viewers})
    yield from _metric("runnel_model_ready", "gauge", "1 if the model server is ready.", {"": int(llama.state == "ready")})
    yield from _metric("runnel_model_slots", "gauge", "Answers that are written at once, by all processes together.", {"": llama.slots})


def _metric(name: str, kind: str, text: str, samples: dict[str, int]) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in samples.items())]
