"""Settings of Python's cyclic garbage collector for a process that keeps many objects and creates few cycles."""

import gc

NEW_OBJECTS = 10_000  # threshold of the youngest generation; Python's default is 700


def configure() -> None:
    """Exempt the objects that exist now from collection, and collect new ones less often. Call it after all imports.

    With 1,000 streams, a full collection stopped the process for 0.18 s and freed a few hundred objects. Reference
    counting frees everything else at once. The middle generation stays small because its threshold is low.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 2, 50)
