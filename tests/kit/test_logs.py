"""Log lines are JSON objects. They contain the type and location of an exception, but not its text."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from kit import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream, logger = io.StringIO(), logging.getLogger("tests.logs")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)


def test_a_line_is_one_json_object_whatever_it_contains(written: io.StringIO) -> None:
    logs.event(logging.getLogger("tests.logs"), 'a\nb\r\x1b[31m"}\u2028', chat="x\ny", seconds=0.5, other=object)

    (line,) = written.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    record = json.loads(line)
    assert (record["message"], record["chat"], record["seconds"], record["level"]) == (
        'a\nb\r\x1b[31m"}\u2028',
        "x\ny",
        0.5,
        "info",
    )


def test_an_exception_is_logged_with_its_type_and_location_but_without_its_text(written: io.StringIO) -> None:
    try:
        raise ValueError("what somebody wrote")
    except ValueError:
        logging.getLogger("tests.logs").exception("it failed")

    record = json.loads(written.getvalue())
    assert record["error"] == "ValueError"
    assert record["at"][-1].startswith(__file__)
    assert "what somebody wrote" not in written.getvalue()
