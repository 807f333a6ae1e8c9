"""What scoring costs: time, memory, and whether it holds up everything else."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from statistics import median

from athlos.quality.report import Cost, Finding

__all__ = ["BLOCKING", "Meter", "cost_findings", "longest_gap", "peak_memory"]

BLOCKING = 0.2
"""Seconds for which nothing else may run before it is worth a word."""

_TOO_LONG = 2.0
_SLOW = 1.0
_MUCH = 256.0
_TICK = 0.005


class Meter:
    """Seconds of scoring by input; what was repeated counts with its shortest time."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], float] = {}

    def add(self, task: str, shown: str, seconds: float) -> None:
        """Adds a measurement."""
        key = (task, shown)
        self._seconds[key] = min(seconds, self._seconds.get(key, seconds))

    def slowest(self) -> tuple[str, str, float]:
        """Task, input and seconds of the slowest."""
        if not self._seconds:
            return "", "", 0.0
        (task, shown), seconds = max(self._seconds.items(), key=lambda item: item[1])
        return task, shown, seconds

    def cost(self, memory: float | None) -> Cost:
        """The figures."""
        _, shown, worst = self.slowest()
        middle = median(self._seconds.values()) if self._seconds else 0.0
        return Cost(middle, worst, shown[:80], memory)


async def longest_gap(run: Callable[[], Awaitable[object]]) -> float:
    """Seconds for which the loop did nothing else, at the longest, while something ran."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        last = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            longest = max(longest, now - last - _TICK)
            last = now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        await run()
        await asyncio.sleep(2 * _TICK)
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
    return longest


async def peak_memory(run: Callable[[], Awaitable[object]]) -> float | None:
    """MB that Python took at the most while something ran; None if somebody else is measuring."""
    if tracemalloc.is_tracing():
        return None
    tracemalloc.start()
    try:
        await run()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def cost_findings(
    gap: float, cost: Cost, task: str, shown: str, *, waits: bool
) -> Iterator[Finding]:
    """What is too much.

    Args:
        gap: Seconds for which the slowest input held up the loop.
        cost: The figures.
        task: On which the slowest was seen.
        shown: The slowest input.
        waits: Whether scoring waits for models, so that its time is not the verifier's own.
    """
    if gap > BLOCKING:
        yield Finding(
            code="cost.blocking",
            severity="error" if gap > _TOO_LONG else "warning",
            message=f"scoring holds up every other attempt for {gap:.1f} s; "
            "@reward(process=True) moves it to a process of its own",
            task=task,
            input=shown,
        )
    elif cost.median > _SLOW and not waits:
        yield Finding(
            code="cost.time", severity="warning",
            message=f"scoring takes {cost.median:.1f} s (median; {cost.worst:.1f} s at worst)",
            task=task,
            input=shown,
        )  # fmt: skip
    if cost.memory is not None and cost.memory > _MUCH:
        yield Finding(
            code="cost.memory", severity="warning",
            message=f"an attempt took {cost.memory:.0f} MB of memory", task=task,
            input=shown,
        )  # fmt: skip
