"""What is rendered is kept within a number of bytes, however many texts there are and however long they are."""

from web.rendering.byte_cache import MAX_SHARE, OVERHEAD_BYTES, ByteCache

MAX_BYTES = 100_000


def test_the_cache_does_not_grow_beyond_its_bytes() -> None:
    cache: ByteCache[str] = ByteCache(MAX_BYTES)

    for size in (0, 10, 1000):
        for number in range(1000):
            cache.get((size, number), lambda size=size: "x" * size)  # type: ignore[misc]
            assert cache.size <= MAX_BYTES
        assert 10 < len(cache) <= MAX_BYTES // OVERHEAD_BYTES


def test_the_cache_keeps_what_was_used_last() -> None:
    cache: ByteCache[str | None] = ByteCache(MAX_BYTES)
    made: list[str] = []

    for number in range(1000):
        cache.get((number,), str)
        cache.get(("often",), lambda: made.append("often"))

    assert made == ["often"]


def test_a_value_that_takes_too_much_is_not_kept() -> None:
    cache: ByteCache[str] = ByteCache(MAX_BYTES)

    assert len(cache.get(("large",), lambda: "x" * (MAX_BYTES // MAX_SHARE))) == MAX_BYTES // MAX_SHARE
    assert (len(cache), cache.size) == (0, 0)
