"""Errors of the web service.

UserError             a status and a message for the person who sees the page
├── NotFound          404  not there, or of another session: a visitor cannot tell which
├── Refused           4xx  the input cannot be accepted; the form keeps it
│   └── TooMany       429  not now; retry after some seconds
└── Unavailable       503  the database service cannot be reached
AnswerFailed          ends an answer after its stream began; shown in place of the rest of the answer
ModelError            between this service and the model server; the writer retries, or raises AnswerFailed
├── Unreachable, Loading, Busy, Gone    it may come back, or has dropped the stream
└── Rejected, Unsupported, TooLong      it refuses the request
"""


class UserError(Exception):
    status = 500
    retry_seconds = 0
    message = "Something went wrong on the server. Please try again."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)
        self.message = message or self.message

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_seconds)} if self.retry_seconds else {}


class NotFound(UserError):
    status = 404
    message = "This page does not exist, or it belongs to another session."


class Refused(UserError):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TooMany(Refused):
    def __init__(self, message: str, retry_seconds: int) -> None:
        super().__init__(429, message)
        self.retry_seconds = retry_seconds


class Unavailable(UserError):
    """The visitor sees a fixed message; the reason goes to the log."""

    status = 503
    retry_seconds = 3
    message = (
        "The database is not available at the moment. Nothing you wrote is lost: please send it again in a few seconds."
    )

    def __init__(self, reason: str = "") -> None:
        super().__init__()
        self.reason = reason


class AnswerFailed(Exception):
    """Ends the answer with this message. The text written so far is kept. `details` are the model server's words."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.message, self.details = message, details


class ModelError(Exception):
    """`details` are the server's own words, cleaned."""

    def __init__(self, details: str = "") -> None:
        super().__init__(details)
        self.details = details


class Unreachable(ModelError):
    """There is no connection, or it broke. The server may come back. `is_sent` means that it may have the request."""

    def __init__(self, details: str = "", is_sent: bool = True) -> None:
        super().__init__(details)
        self.is_sent = is_sent


class Loading(ModelError):
    """The server is loading its model. `is_sent` as in `Unreachable`."""

    def __init__(self, details: str = "", is_sent: bool = True) -> None:
        super().__init__(details)
        self.is_sent = is_sent


class Busy(ModelError):
    """The server accepts the request later, after `seconds` if it says so."""

    def __init__(self, seconds: float | None = None, details: str = "") -> None:
        super().__init__(details)
        self.seconds = seconds


class Gone(ModelError):
    """The server does not keep the requested stream, or no longer."""


class Rejected(ModelError):
    """The server refuses the request, and a retry would not help. `message` is for the user."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(details)
        self.message = message


class Unsupported(ModelError):
    """The server refuses these parameters of the request. Without them it may accept it."""

    def __init__(self, names: frozenset[str], details: str = "") -> None:
        super().__init__(details)
        self.names = names


class TooLong(ModelError):
    """The prompt has `tokens` tokens, and the model reads at most `context`."""

    def __init__(self, tokens: int, context: int, details: str = "") -> None:
        super().__init__(details)
        self.tokens, self.context = tokens, context
