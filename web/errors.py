"""What can go wrong, and what the visitor is told.

Failure               a status and a sentence for the person in front of the page
├── NotFound          404  not there, or not yours: nobody can tell which
├── Refused           4xx  what was sent cannot be accepted; it is kept in the form
│   └── TooMany       429  not now, with the seconds to wait
└── Unavailable       503  the database service or the model server cannot be reached
ModelFailure          in an answer, after its stream began: told in the answer's own place
ModelError            between us and the model server: whoever writes the answer tries again, or makes a ModelFailure of it
├── Unreachable, Loading, Gone    it may come back, or has forgotten this stream
└── Rejected, TooLong             it will not do it
"""


class Failure(Exception):
    status = 500
    seconds = 0
    sentence = "Something went wrong here. Please try again."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or self.sentence)
        self.sentence = sentence or self.sentence

    @property
    def headers(self) -> dict[str, str]:
        """When to come back, if that may help."""
        return {"Retry-After": str(self.seconds)} if self.seconds else {}


class NotFound(Failure):
    status = 404
    sentence = "There is no such page, or it belongs to another session."


class Refused(Failure):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class TooMany(Refused):
    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(429, sentence)
        self.seconds = seconds


class Unavailable(Failure):
    """The sentence shown is fixed: the reason goes to the log, not to the visitor."""

    status = 503
    seconds = 3
    sentence = "The database is not available at the moment. Nothing you wrote is lost: please send it again in a few seconds."

    def __init__(self, reason: str = "") -> None:
        super().__init__()
        self.reason = reason


class ModelFailure(Exception):
    """The answer ends here, with this sentence under what was written so far."""


class ModelError(Exception):
    pass


class Unreachable(ModelError):
    """Nobody is there, or the connection broke: it may come back."""


class Loading(ModelError):
    """It is there and still reads its model."""


class Gone(ModelError):
    """The stream that was asked for is not kept (any more)."""


class Rejected(ModelError):
    """It will not do it, and asking again will not help. `sentence` is for the user."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class TooLong(ModelError):
    """The prompt does not fit: it has `tokens`, the model can read `context`."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__()
        self.tokens, self.context = tokens, context
