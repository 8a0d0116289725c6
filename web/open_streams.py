"""The streams that are open in this process: whose they are, how many a session has, and how to end those of a signed-out device."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from web.errors import TooMany

RETRY_SECONDS = 5


@dataclass(eq=False)
class Opened:
    session: UUID
    device: str
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    signed_out: bool = False


class OpenStreams:
    def __init__(self, most: int) -> None:
        self._most = most
        self._opened: set[Opened] = set()
        self._of_session: Counter[UUID] = Counter()
        self._leaving = False

    @property
    def devices(self) -> set[str]:
        return {opened.device for opened in self._opened}

    def open(self, session: UUID, device: str) -> Opened:
        """One more; who opens it closes it. Raises TooMany."""
        if self._most and self._of_session[session] >= self._most:
            watched = f"{self._most} answers are being watched in this session already."
            raise TooMany(f"{watched} Close a tab to watch this one; it is written all the same.", RETRY_SECONDS)
        opened = Opened(session, device)
        if self._leaving:
            opened.leaving.set()
        self._opened.add(opened)
        self._of_session[session] += 1
        return opened

    def close(self, opened: Opened) -> None:
        self._opened.discard(opened)
        self._of_session[opened.session] -= 1
        if not self._of_session[opened.session]:
            del self._of_session[opened.session]

    def sign_out(self, devices: Iterable[str]) -> None:
        """The streams of these devices end."""
        gone = set(devices)
        for opened in self._opened:
            if opened.device in gone:
                opened.signed_out = True
                opened.leaving.set()

    def leave(self) -> None:
        """All end, also those that are opened from now on: this process does."""
        self._leaving = True
        for opened in self._opened:
            opened.leaving.set()
