"""Python's collector of cyclic garbage, for a process that holds many objects and makes next to no such garbage."""

import gc

NEW_OBJECTS = 10_000  # before the youngest are looked through; by default 700


def collect_seldom() -> None:
    """To be called once all is imported: what is there now is never looked through again, and what comes later less often.

    With 1,000 streams a process stood still for 0.18 s at a time, to find a few hundred objects in all. Everything else is
    freed as soon as nobody refers to it. The middle generation stays small, since it is looked through at once.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 2, 50)
