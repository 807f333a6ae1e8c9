"""Garbage collection while thousands of attempts are in flight.

Python looks for cycles in everything that is alive each time that grew by a quarter. With 10,000
attempts in flight that is seconds at a time, for nothing: what an attempt leaves is freed without.
So during a collection the old objects are looked at between attempts, for a fixed share of the
time. `docs/decisions/0007-hot-path.md` has the figures.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["calm_garbage_collection", "collect_garbage"]

_YOUNG = (10_000, 50, 1_000_000)  # thresholds; the last one leaves the old objects to us
_SHARE = 0.02  # of the time, for the old objects
_LEAST = 1.0  # seconds between two looks at them

_users = 0
_before = gc.get_threshold()
_frozen = False
_next = math.inf


@contextmanager
def calm_garbage_collection() -> Iterator[None]:
    """Leaves the old objects to `collect_garbage`, until the last user leaves."""
    global _users, _before, _frozen, _next
    _users += 1
    if _users == 1 and gc.isenabled():  # else whoever switched it off knows why
        _before = gc.get_threshold()
        gc.set_threshold(*_YOUNG)
        _frozen = not gc.get_freeze_count()  # else somebody else has a use for it
        if _frozen:
            gc.freeze()  # what was there before will be there afterwards
        _next = time.monotonic() + _LEAST
    try:
        yield
    finally:
        _users -= 1
        if not _users and _next < math.inf:
            gc.set_threshold(*_before)
            if _frozen:
                gc.unfreeze()
            _next = math.inf


def collect_garbage() -> None:
    """Looks at the old objects if it is time to; cheap if it is not."""
    global _next
    if (now := time.monotonic()) < _next:
        return
    gc.collect()
    end = time.monotonic()
    _next = end + max(_LEAST, (end - now) / _SHARE)
