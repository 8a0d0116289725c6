"""A cache of rendered texts that is bounded in bytes."""

import sys
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

OVERHEAD_BYTES = 400  # of an entry, for the dictionary, the key and the integers
MAX_SHARE = 8  # an entry takes at most this part of the cache, so that one cannot displace all others

Value = TypeVar("Value", bound=str | None)


class ByteCache(Generic[Value]):
    """Removes the values that were not used for the longest time. Keys are tuples; their strings count, too."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: dict[tuple[Hashable, ...], tuple[Value, int]] = {}  # the least recently used first
        self.size = 0  # bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: tuple[Hashable, ...], make: Callable[[], Value]) -> Value:
        """The value of this key. `make` makes it if the cache has none."""
        if entry := self._entries.pop(key, None):
            self._entries[key] = entry
            return entry[0]
        value = make()
        size = OVERHEAD_BYTES + sys.getsizeof(value) + sum(map(sys.getsizeof, key))
        if size <= self._max_bytes // MAX_SHARE:
            self._entries[key] = value, size
            self.size += size
            self._shrink()
        return value

    def _shrink(self) -> None:
        while self.size > self._max_bytes:
            _, size = self._entries.pop(next(iter(self._entries)))
            self.size -= size
