"""Replies of model servers that differ from the usual ones, with the answer that each has to become."""

import gzip
import json
from typing import Any, NamedTuple

from tests.fake_llama.oddities import DONE, HTML, JSON, STOP, Replies, Reply, event, piece, words

TEXT = "one two three"
ONE_TWO_THREE = words(TEXT).replace(b'"two"', b'" two"').replace(b'"three"', b'" three"')
GOOD = Reply(ONE_TWO_THREE + STOP)
HTML_PAGE = b"<!doctype html><style>x{}</style><h1>Sign in</h1><p>Please sign in.</p>"


class Expected(NamedTuple):
    status: str = "complete"
    content: str = TEXT
    reasoning: str = ""
    error: str = ""  # a part of it
    requests: int = 1


def failed(error: str, content: str = "", requests: int = 1) -> Expected:
    return Expected("failed", content, "", error, requests)


def ok(content: str = TEXT, reasoning: str = "", requests: int = 1) -> Expected:
    return Expected("complete", content, reasoning, "", requests)


def refused(status: int, error: Any, **headers: str) -> Reply:
    return Reply(json.dumps(error).encode(), status, JSON, {name.replace("_", "-"): v for name, v in headers.items()})


def openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def refuses(name: str, message: str, status: int = 400, **more: Any) -> Replies:
    return lambda body: refused(status, openai(message, **more)) if name in body else GOOD


def thinks(*parts: str) -> list[Reply]:
    return [Reply(b"".join(piece(part) for part in parts) + STOP)]


def whole(**message: Any) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()


# Objects, texts and extremes where the page expects numbers
ODD_NUMBERS = {
    "total_tokens": {"prompt": 1},
    "prompt_tokens": {"cached": 1},
    "completion_tokens": "7",
    "predicted_per_second": {"mean": 1.5},
    "cache_n": {"hits": -1},
    "first_word_ms": {"a": 1},
    "thinking_ms": {"a": 1},
}


ENDLESS: dict[str, tuple[Replies, Expected]] = {
    "a clean end": ([Reply(piece("one"))], failed("several times", "one", 5)),
    "a reset": ([Reply([piece("one")], end="reset")], failed("several times", "one", 5)),
    "a cut": ([Reply(piece("one"), end="cut")], failed("several times", "one", 5)),
    "an empty body": ([Reply()], failed("several times", "", 5)),
    "an empty body with 204": ([Reply(status=204, end="close")], failed("several times", "", 5)),
    "half an event": ([Reply(piece("one") + piece("two")[:20])], failed("several times", "one", 5)),
    "a reset at once": ([Reply(end="reset")], failed("several times", "", 5)),
    "502": ([Reply(HTML_PAGE, 502, HTML)], failed("several times", "", 5)),
    "504": ([Reply(b"", 504, HTML)], failed("several times", "", 5)),
    "a reset, then well": ([Reply([piece("one")], end="reset"), GOOD], ok(requests=2)),
    "a clean end, then well": ([Reply(piece("one")), GOOD], ok(requests=2)),
    "nothing, then the text is kept": ([Reply(piece("one")), Reply()], failed("several times", "one", 5)),
    "502, then well": ([Reply(b"", 502, HTML), GOOD], ok(requests=2)),
    "endless empty pieces": ([Reply([piece("")] * 300, pause=0.1)], failed("did not start")),
    "endless comments": ([Reply([b": ping\n\n"] * 300, pause=0.1)], failed("did not start")),
    "endless comments after text": ([Reply([piece("one"), *[b": x\n\n"] * 300], pause=0.1)], failed("stopped", "one")),
}
NO_STREAM: dict[str, tuple[Replies, Expected]] = {
    "JSON error": ([refused(200, {"error": {"message": "no such thing", "code": 400}})], failed("no such thing")),
    "JSON error text": ([refused(200, {"error": "no such thing"})], failed("no such thing")),
    "JSON detail": ([refused(200, {"detail": "no such thing"})], failed("no such thing")),
    "JSON list": ([refused(200, [{"error": {"message": "no such thing", "status": "X"}}])], failed("no such thing")),
    "object error": ([refused(200, {"object": "error", "message": "no such thing"})], failed("no such thing")),
    "JSON as events": ([Reply(b'{"error":{"message":"no such thing"}}')], failed("no such thing")),
    "broken JSON": ([Reply(b'{"error":', kind=JSON)], failed("not an answer")),
    "a web page": ([Reply(HTML_PAGE, kind=HTML)], failed("Please sign in.")),
    "a web page as events": ([Reply(b"\n " + HTML_PAGE)], failed("sign-in page")),
    "a whole answer": ([Reply(whole(content=TEXT), kind=JSON)], ok()),
    "a whole answer with thoughts": ([Reply(whole(content=TEXT, reasoning="Hm."), kind=JSON)], ok(TEXT, "Hm.")),
    "a whole answer with tags": (
        [Reply(whole(content="<think>Hm.</think>\n\none two three"), kind=JSON)],
        ok(TEXT, "Hm."),
    ),
    "gzip": ([Reply(gzip.compress(ONE_TWO_THREE), headers={"Content-Encoding": "gzip"})], failed("not an answer")),
    "no content type": ([Reply(GOOD.body, kind="")], ok()),
    "plain text type": ([Reply(GOOD.body, kind="text/plain")], ok()),
    "201": ([Reply(GOOD.body, 201)], ok()),
    "a huge line": ([Reply([b"data: " + b"x" * 600_000] * 3)], failed("not an answer")),
    "a huge refusal": ([Reply([b"y" * 700_000] * 3, 400, "text/plain")], failed("does not accept")),
    "an endless refusal": ([Reply([b"x "] * 300, 400, "text/plain", end="open")], failed("did not start")),
}
SHAPES: dict[str, tuple[Replies, Expected]] = {
    "error null": ([Reply(ONE_TWO_THREE.replace(b'{"id"', b'{"error":null,"id"') + STOP)], ok()),
    "error empty": ([Reply(ONE_TWO_THREE.replace(b'{"id"', b'{"error":{"code":null,"message":""},"id"') + STOP)], ok()),
    "choice error null": ([Reply(ONE_TWO_THREE.replace(b'{"index"', b'{"error":null,"index"') + STOP)], ok()),
    "CRLF": ([Reply(GOOD.body.replace(b"\n", b"\r\n"))], ok()),  # type: ignore[union-attr]
    "CR": ([Reply(GOOD.body.replace(b"\n", b"\r"))], ok()),  # type: ignore[union-attr]
    "mixed line ends": ([Reply(GOOD.body.replace(b"\n\n", b"\n\r\n"))], ok()),  # type: ignore[union-attr]
    "no space after data": ([Reply(GOOD.body.replace(b"data: ", b"data:"))], ok()),  # type: ignore[union-attr]
    "BOM": ([Reply(b"\xef\xbb\xbf" + ONE_TWO_THREE + STOP)], ok()),
    "names and ids": ([Reply(GOOD.body.replace(b"data:", b"event: message\nid: 1\ndata:"))], ok()),  # type: ignore[union-attr]
    "no last blank line": ([Reply((ONE_TWO_THREE + piece("", "stop")).rstrip())], ok()),
    "no DONE": ([Reply(ONE_TWO_THREE + piece("", "stop"))], ok()),
    "no DONE and open": ([Reply(ONE_TWO_THREE + piece("", "stop"), end="open")], ok()),
    "no finish reason": ([Reply(ONE_TWO_THREE + DONE)], ok()),
    "closed without length": ([Reply(ONE_TWO_THREE + STOP, end="close")], ok()),
    "byte by byte": ([Reply([bytes([byte]) for byte in piece("one") + STOP], pause=0)], ok("one")),
    "comments first": ([Reply([*[b": OPENROUTER PROCESSING\n\n"] * 40, GOOD.body], pause=0.1)], ok()),  # type: ignore[list-item]
    "comments within": ([Reply([piece("one"), *[b":\n\n"] * 25, piece(" two three"), STOP], pause=0.1)], ok()),
    "choices null": ([Reply(event(choices=None, usage={"x": 1}) + ONE_TWO_THREE + STOP)], ok()),
    "odd numbers": ([Reply(ONE_TWO_THREE + event(choices=[], usage=ODD_NUMBERS, timings=ODD_NUMBERS) + STOP)], ok()),
    "no choices": ([Reply(event(prompt_filter_results=[], choices=[]) + ONE_TWO_THREE + STOP)], ok()),
    "delta null": ([Reply(event(choices=[{"delta": None}]) + ONE_TWO_THREE + STOP)], ok()),
    "message instead of delta": ([Reply(event(choices=[{"message": {"content": TEXT}}]) + STOP)], ok()),
    "text instead of delta": ([Reply(event(choices=[{"text": TEXT}]) + STOP)], ok()),
    "refusal": ([Reply(piece(None, refusal="I cannot.") + STOP)], ok("I cannot.")),
    "content in parts": ([Reply(piece([{"type": "text", "text": TEXT}]) + STOP)], ok()),
    "all in one event": ([Reply(piece(TEXT, "stop"))], ok()),
    "error after text": (
        [Reply(piece("one") + event(error={"message": "no such thing"}))],
        failed("no such thing", "one"),
    ),
    "error as text": ([Reply(piece("one") + event(error="no such thing"))], failed("no such thing", "one")),
    "object error within": (
        [Reply(piece("one") + event(object="error", message="no such thing"))],
        failed("no such thing", "one"),
    ),
    "an error event": (
        [Reply(piece("one") + b'event: error\ndata: {"message":"no such thing"}\n\n')],
        failed("no such thing", "one"),
    ),
    "an error event with text": ([Reply(b"event: error\ndata: no such thing\n\n")], failed("no such thing")),
    "an error in a choice": (
        [Reply(piece("one") + event(choices=[{"error": {"message": "no such thing"}, "delta": {}}]))],
        failed("no such thing", "one"),
    ),
}
THOUGHTS: dict[str, tuple[Replies, Expected]] = {
    "reasoning_content": ([Reply(piece(None, reasoning_content="Hm.") + ONE_TWO_THREE + STOP)], ok(TEXT, "Hm.")),
    "reasoning": ([Reply(piece(None, reasoning="Hm.") + ONE_TWO_THREE + STOP)], ok(TEXT, "Hm.")),
    "both": ([Reply(piece("", reasoning="Hm.", reasoning_content="Hm.") + ONE_TWO_THREE + STOP)], ok(TEXT, "Hm.")),
    "details": (
        [Reply(piece("", reasoning_details=[{"type": "reasoning.text", "text": "Hm."}]) + ONE_TWO_THREE + STOP)],
        ok(TEXT, "Hm."),
    ),
    "parts": (
        [Reply(piece([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]) + ONE_TWO_THREE + STOP)],
        ok(TEXT, "Hm."),
    ),
    "tags": (thinks("<think>Hm.</think>one two three"), ok(TEXT, "Hm.")),
    "tags in pieces": (
        thinks("<", "thi", "nk>", "H", "m.", "</", "think", ">", "\n\n", "one", " two three"),
        ok(TEXT, "Hm."),
    ),
    "tags letter by letter": (thinks(*"<think>Hm.</think>one two three"), ok(TEXT, "Hm.")),
    "tags after white space": (thinks("\n", " <thinking>", "Hm.", "</thinking>\n", TEXT), ok(TEXT, "Hm.")),
    "other tags": (thinks("[THINK]", "Hm.", "[/THINK]", TEXT), ok(TEXT, "Hm.")),
    "a tag that is never closed": (thinks("<think>", "Hm.", " </thi"), ok("", "Hm. </thi")),
    "no tag": (thinks("<", "thin", "gs> are"), ok("<things> are")),
    "a tag in the middle": (thinks("Use ", "<think>", "x", "</think>"), ok("Use <think>x</think>")),
}
LENGTH = "This model's maximum context length is 100 tokens. However, you requested 900 tokens (400 in the messages)."
UNKNOWN = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
NO_EXTRAS = {
    "detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]
}
REFUSALS: dict[str, tuple[Replies, Expected]] = {
    "400": ([refused(400, openai("no such thing"))], failed("no such thing")),
    "402": ([refused(402, openai("Insufficient credits"))], failed("no credit")),
    "401": ([refused(401, openai("Incorrect API key provided: sk-12345***cdef."))], failed("LLAMA_API_KEY")),
    "404": ([refused(404, {"error": "model 'x' not found"})], failed("model 'x' not found")),
    "a redirect": ([Reply(b"", 307, HTML, {"Location": "/elsewhere"})], failed("another address")),
    "TGI": (
        [refused(422, {"error": "Input error: no such thing", "error_type": "validation"})],
        failed("no such"),
    ),
    "500 in plain text": ([Reply(b"no such thing", 500, "text/plain")], failed("no such thing")),
    "context_length_exceeded": ([refused(400, openai("x", code="context_length_exceeded"))], failed("longer than")),
    "vLLM's context": ([refused(400, openai(LENGTH))], failed("longer than", requests=2)),
    "413": ([Reply(b"", 413)], failed("longer than")),
    "no quota": ([refused(429, openai("You exceeded it", code="insufficient_quota"))], failed("no credit")),
    "429 once": ([refused(429, openai("slow down"), Retry_After="1"), GOOD], ok(requests=2)),
    "503 once": ([refused(503, openai("overloaded"), Retry_After="1"), GOOD], ok(requests=2)),
    "503 without a time": ([Reply(b"", 503), GOOD], ok(requests=2)),
    "529 once": ([refused(529, openai("overloaded")), GOOD], ok(requests=2)),
    "429 for an hour": ([refused(429, openai("slow down"), Retry_After="3600")], failed("too busy until")),
    "429 always": ([refused(429, openai("slow down"))], failed("too busy", requests=4)),
    "429 with a date": ([refused(429, {}, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), GOOD], ok(requests=2)),
    "unknown max_tokens": (refuses("max_tokens", UNKNOWN, param="max_tokens"), ok(requests=2)),
    "max_tokens's value": (refuses("max_tokens", "max_tokens must be less than 100"), ok(requests=2)),
    "stream_options": (refuses("stream_options", "unknown field stream_options"), ok(requests=2)),
    "extra fields": (lambda body: refused(422, NO_EXTRAS) if "stream_options" in body else GOOD, ok(requests=2)),
    "always a parameter": ([refused(400, openai("max_tokens is wrong"))], failed("max_tokens", requests=2)),
}
ENDS: dict[str, tuple[Replies, Expected]] = {
    reason: ([Reply(piece(TEXT, reason) + DONE)], ok())
    for reason in ("content_filter", "SAFETY", "max_tokens", "tool_calls", "insufficient_system_resource", "eos_token")
}
ODDITIES: dict[str, tuple[Replies, Expected]] = ENDS | ENDLESS | NO_STREAM | SHAPES | THOUGHTS | REFUSALS
