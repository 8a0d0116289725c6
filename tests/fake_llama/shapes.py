"""The protocol: validation of requests, error responses, and the JSON of answers."""

import dataclasses
import json
import math
import random
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.fake_llama.scripts import MODEL, Script, Settings, prose, tokenize

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    503: "unavailable_error",
}
FAULTS = ("status", "hang_after", "rst_after", "error_after")
# No user may see this
HTML_ERROR = "<html><body><h1>Error</h1><p>secret-host:/srv/llama/server.cpp:450</p></body></html>"


class Refused(Exception):
    def __init__(self, status: int, message: str, **more: Any) -> None:
        self.status = status
        self.body = {
            "error": {"code": status, "message": message, "type": ERROR_TYPES.get(status, "server_error")} | more
        }

    def response(self) -> Response:
        return JSONResponse(self.body, self.status)


async def read_json(request: Request) -> dict[str, Any]:
    text = await request.body()
    try:
        body = request.scope["note"]["body"] = json.loads(text)
    except ValueError as error:
        request.scope["note"]["body"] = repr(text)
        raise Refused(400, f"[json.exception.parse_error.101] parse error: {error}") from error
    return body if isinstance(body, dict) else {}


def conversation(request: Request) -> str:
    if not (key := request.query_params.get("conv_id")):
        raise Refused(400, "Missing conversation id in path")
    return key


def validated(body: dict[str, Any], settings: Settings) -> tuple[list[dict[str, Any]], str]:
    """Return the messages, and the start of the answer if it is to be continued."""
    if "messages" not in body:
        raise Refused(400, "'messages' is required")
    if not isinstance(messages := body["messages"], list):
        raise Refused(400, "Expected 'messages' to be an array")
    if not body.get("stream"):
        raise Refused(400, "fake_llama only streams")
    if not settings.replay:
        return messages, ""
    if body.get("continue_final_message") and body.get("add_generation_prompt", True):
        raise Refused(400, "Cannot set both add_generation_prompt and continue_final_message to true.")
    roles = [m.get("role") for m in messages]
    if roles[-2:] == ["assistant", "assistant"]:
        raise Refused(400, "Cannot have 2 or more assistant messages at the end of the list.")
    if (n := usage_and_timings(body, 0, 0)[0]["prompt_tokens"]) >= settings.n_ctx:
        message = (
            f"request ({n} tokens) exceeds the available context size ({settings.n_ctx} tokens), try increasing it"
        )
        raise Refused(400, message, type="exceed_context_size_error", n_prompt_tokens=n, n_ctx=settings.n_ctx)
    return messages, plain(messages[-1]) if roles[-1:] == ["assistant"] else ""


def plain(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def scripted(message: str, request_number: int) -> Script:
    try:
        script = json.loads(message) if message.lstrip().startswith("{") else {}
    except ValueError:
        script = {}
    known = {field.name for field in dataclasses.fields(Script)}
    if not known & script.keys():
        return Script(text=prose(message))
    if unknown := script.keys() - known:
        raise Refused(400, f"fake_llama: unknown keys in a script: {sorted(unknown)}")
    if script.get("times", math.inf) < request_number:
        script = {key: value for key, value in script.items() if key not in FAULTS}
    return Script(**({} if script.keys() & {"text", "tokens", "raw"} else {"text": prose(message)}) | script)


def following(earlier: str, message: str) -> Script | None:
    """The script that the earlier message gives for this one, if this one is none itself."""
    is_script = message.lstrip().startswith("{")
    script = {} if is_script or not earlier.lstrip().startswith("{") else scripted(earlier, 1).next
    return Script(**script) if script else None


def envelope() -> tuple[bytes, bytes]:
    """Return the JSON of a chunk before its finish_reason, and after its choices."""
    fields = {
        "created": int(time.time()),
        "id": f"chatcmpl-{random.randbytes(16).hex()}",
        "model": MODEL,
        "system_fingerprint": "b0-fake",
    }
    return b'data: {"choices":[{"finish_reason":', b"," + encode(fields | {"object": "chat.completion.chunk"})[1:-1]


def encode(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate can only be written as an escape
        return json.dumps(value).encode()


def usage_and_timings(body: dict[str, Any], tokens: int, delay: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return usage and timings. The times are invented."""
    prompt, ms, per_second = (
        sum(len(tokenize(plain(message))) + 4 for message in body["messages"]),
        delay * 1000,
        1 / (delay or 1e-6),
    )
    usage = {"completion_tokens": tokens, "prompt_tokens": prompt, "total_tokens": prompt + tokens}
    read = {
        "cache_n": 0,
        "prompt_n": prompt,
        "prompt_ms": 1.0 * prompt,
        "prompt_per_token_ms": 1.0,
        "prompt_per_second": 1000.0,
    }
    predicted = {
        "predicted_n": tokens,
        "predicted_ms": ms * tokens,
        "predicted_per_token_ms": ms,
        "predicted_per_second": per_second,
    }
    return usage | {"prompt_tokens_details": {"cached_tokens": 0}}, read | predicted
