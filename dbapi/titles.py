"""The title of a chat that its user has not named."""

TITLE_CODE_POINTS = 60


def title_of(content: str) -> str:
    """The first words of a message, at most TITLE_CODE_POINTS characters and an ellipsis."""
    words = " ".join(content.split())
    if len(words) <= TITLE_CODE_POINTS:
        return words
    cut = words[:TITLE_CODE_POINTS]
    return (cut[: cut.rfind(" ")] if " " in cut[20:] else cut) + "…"
