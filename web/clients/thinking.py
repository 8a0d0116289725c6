"""Separates thoughts from the answer where a model marks them with tags at the beginning of its text.

Most servers send thoughts in a field of their own. Some send what the model wrote: `<think>…</think>` and the answer.
"""

TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "[think]": "[/think]",
}
MAX_HELD = 100  # characters


class ThinkTags:
    """Receives the text piece by piece. Holds a piece back while it may end within a tag."""

    def __init__(self, is_done: bool = False, is_inside: bool = False) -> None:
        self.is_done = is_done  # what follows is the answer
        self.is_found = is_inside
        self._end = "</think>" if is_inside else ""
        self._held = ""
        self._is_after = False  # only white space has followed the thoughts

    @property
    def is_holding(self) -> bool:
        return bool(self._held)

    def split(self, text: str) -> tuple[str, str]:
        """The thoughts and the answer in this piece and those held back."""
        text, self._held = self._held + text, ""
        if self._is_after:
            return self._after(text)
        return self._inside(text) if self._end else self._before(text)

    def rest(self) -> tuple[str, str]:
        """What is held back when the text ends."""
        held, self._held = self._held, ""
        return (held, "") if self._end else ("", held)

    def drop_held(self) -> None:
        """The stream is resumed at the piece held back."""
        self._held = ""

    def _before(self, text: str) -> tuple[str, str]:
        start = text.lstrip()
        lower = start[:MAX_HELD].lower()
        for tag, end in TAGS.items():
            if lower.startswith(tag):
                self._end, self.is_found = end, True
                return self._inside(start[len(tag) :])
        if len(text) < MAX_HELD and any(tag.startswith(lower) for tag in TAGS):  # also for white space alone
            self._held = text
            return "", ""
        self.is_done = True
        return "", text

    def _inside(self, text: str) -> tuple[str, str]:
        at = text.lower().find(self._end)
        if at >= 0:
            self._end, answer = "", text[at + len(self._end) :].lstrip()
            self.is_done, self._is_after = bool(answer), not answer
            return text[:at], answer
        if not _ends_within(text.lower(), self._end):
            return text, ""
        kept = 0 if len(text) < MAX_HELD else len(text) - len(self._end)
        self._held = text[kept:]
        return text[:kept], ""

    def _after(self, text: str) -> tuple[str, str]:
        answer = text.lstrip()
        self.is_done = bool(answer)
        return "", answer


def without_thoughts(text: str) -> str:
    """The text of a message without the thoughts at its beginning."""
    tags = ThinkTags()
    _, answer = tags.split(text)
    return answer if tags.is_done or tags.is_found else text


def _ends_within(text: str, tag: str) -> bool:
    return any(text.endswith(tag[:length]) for length in range(1, len(tag)))
