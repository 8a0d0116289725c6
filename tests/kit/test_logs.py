"""Log lines: one JSON object each, which no text can break, and of an exception its kind and place but not its words."""

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


def test_a_line_is_one_object_whatever_is_in_it(written: io.StringIO) -> None:
    logs.event(logging.getLogger("tests.logs"), 'a\nb\r\x1b[31m"}\u2028', chat="x\ny", seconds=0.5, other=object)

    (line,) = written.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    about = json.loads(line)
    assert (about["message"], about["chat"], about["seconds"], about["level"]) == ('a\nb\r\x1b[31m"}\u2028', "x\ny", 0.5, "info")


def test_an_exception_is_named_with_its_place_and_without_its_text(written: io.StringIO) -> None:
    try:
        raise ValueError("what somebody wrote")
    except ValueError:
        logging.getLogger("tests.logs").exception("it failed")

    about = json.loads(written.getvalue())
    assert about["error"] == "ValueError"
    assert about["at"][-1].startswith(__file__)
    assert "what somebody wrote" not in written.getvalue()
