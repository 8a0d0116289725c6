"""Writes one JSON object per log line to standard error. Lines describe events and never contain what users wrote."""

import json
import logging
import re
import sys
import threading
import time
from typing import Any


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"time": self._time(record), "level": record.levelname.lower(), "logger": record.name}
        line["message"] = _message(record)
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            line["at"] = _where(record.exc_info[2])
        return json.dumps(line, ensure_ascii=True, default=str)

    def _time(self, record: logging.LogRecord) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"


def _message(record: logging.LogRecord) -> str:
    """Return the message. asyncio appends arguments and the text of exceptions, which may quote user input."""
    message = record.getMessage()
    return re.split(r"[\n(]", message, maxsplit=1)[0] if record.name == "asyncio" else message


def _where(traceback: Any) -> list[str]:
    """Return file and line of the last frames. The text of the exception is left out: it may quote user input."""
    frames = []
    while traceback:
        frames.append(f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return frames[-8:]


def configure(level: str = "INFO") -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "sse_starlette"):  # they log every request
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Log an exception that nothing can catch, such as one in a generator's cleanup, like any other."""
    exception = unraisable.exc_value or unraisable.exc_type()
    logging.getLogger("python").error("an exception was ignored", exc_info=exception)


def _uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    exception = uncaught.exc_value or uncaught.exc_type()
    logging.getLogger("python").error("a thread failed", exc_info=exception)


def event(logger: logging.Logger, message: str, level: int = logging.INFO, **fields: Any) -> None:
    logger.log(level, message, extra={"fields": fields})
