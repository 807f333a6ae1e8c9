"""Time limits that cost next to nothing, for the many places of an attempt that must not hang.

`asyncio.timeout` makes a timer of the event loop for each use. An attempt has several limits, of
minutes or hours, that are hardly ever reached; here they share one timer per loop, which ticks
while there is something to limit. A limit is never early, and late by at most 1/16 s or 2 %.
"""

from __future__ import annotations

import asyncio
import math
import threading
from types import TracebackType
from typing import Any, Self

__all__ = ["time_limit"]

_FINEST = -4  # as a power of two: limits that end within 1/16 s of each other are ended together
_MANY = 1000
_SHARE = 7  # ... and within 1/128 of the limit, if that is longer


class time_limit:
    """Ends what is awaited inside with a `TimeoutError` after some seconds.

        with time_limit(30) as limit:
            await something()

    Works as `asyncio.timeout`, but for the plain `with`.

    Args:
        seconds: From now; None is no limit.

    Attributes:
        expired: Whether the limit was reached.
        task: What it ends; None outside of the `with`, and if there is no limit.
    """

    __slots__ = ("_bucket", "_cancelling", "_seconds", "_wheel", "expired", "task")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self.expired = False
        self.task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        if self._seconds is None:
            return self
        loop = asyncio.get_running_loop()
        wheel: _Wheel | None = getattr(_here, "wheel", None)
        if wheel is None or wheel.loop is not loop:
            wheel = _here.wheel = _Wheel(loop)
        task = asyncio.current_task(loop)  # without it the loop would be asked for again
        assert task is not None, "time_limit() needs a task"
        self._wheel = wheel
        self.task = task
        self._cancelling = task.cancelling()
        self._bucket: tuple[float, int] | None = wheel.add(self, self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task = self.task
        if task is None:
            return
        if not self.expired and self._bucket is not None:
            self._wheel.discard(self, self._bucket)
        self.task = None
        if (
            self.expired
            and task.uncancel() <= self._cancelling
            and (kind is not None and issubclass(kind, asyncio.CancelledError))
        ):
            raise TimeoutError from error

    def hold(self) -> None:
        """Stops the clock, if it runs: what follows does not count."""
        if self.task is not None and not self.expired and self._bucket is not None:
            end = self._bucket[0] * self._bucket[1]
            self._seconds = max(end - self._wheel.loop.time(), 0.0)
            self._wheel.discard(self, self._bucket)
            self._bucket = None

    def go_on(self) -> None:
        """Lets the clock run again, with what was left."""
        if self.task is not None and not self.expired and self._bucket is None:
            assert self._seconds is not None
            self._bucket = self._wheel.add(self, self._seconds)

    def expire(self) -> None:
        """Ends what is awaited inside; the wheel's turn."""
        task = self.task
        assert task is not None
        self.expired = True
        task.cancel()


class _Wheel:
    """The limits of one loop, in buckets by when they end.

    A bucket is (width, number): it ends at `number * width`. Widths are powers of two. Limits are
    dictionary keys, which, unlike a set's, are in order: simulated runs repeat themselves.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._time = loop.time
        self._buckets: dict[tuple[float, int], dict[time_limit, None]] = {}
        self._widths: dict[float, float] = {}  # by length of the limit
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf

    def add(self, limit: time_limit, seconds: float) -> tuple[float, int]:
        width = self._widths.get(seconds)
        if width is None:
            if len(self._widths) > _MANY:
                self._widths.clear()
            width = math.ldexp(1, max(_FINEST, math.frexp(seconds)[1] - 1 - _SHARE))
            self._widths[seconds] = width
        number = -int(-(self._time() + seconds) // width)  # rounded up
        bucket = (width, number)
        found = self._buckets.get(bucket)
        if found is None:
            found = self._buckets[bucket] = {}
            end = number * width
            if end < self._next:
                self._set(end)
        found[limit] = None
        return bucket

    def discard(self, limit: time_limit, bucket: tuple[float, int]) -> None:
        found = self._buckets[bucket]
        del found[limit]
        if not found:
            del self._buckets[bucket]

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = self.loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer, self._next = None, math.inf
        now = self.loop.time()
        ended = [bucket for bucket in self._buckets if bucket[0] * bucket[1] <= now]
        for bucket in ended:
            for limit in self._buckets.pop(bucket):
                limit.expire()
        if self._buckets:
            self._set(min(width * number for width, number in self._buckets))


_here = threading.local()
