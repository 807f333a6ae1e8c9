"""The replicas of one model: who is in the rotation, and who gets the next request.

A request goes where the fewest are under way. The calls of one attempt stay with one replica, whose
prefix cache has their conversation, while that is in the rotation and not far more loaded.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from typing import Any

from athlos.models.breaker import Breaker
from athlos.models.governor import Governor
from athlos.models.transport import Transport

__all__ = ["Replica", "Replicas"]

_SLACK = 8  # requests that the preferred replica may have more than the least loaded
_RATIO = 1.25  # ... after this factor


class Replica:
    """One server of a model.

    Attributes:
        url: As the user wrote it, or a name.
        transport: The way to it.
        governor: The requests under way, and how many may be.
        breaker: Whether it is in the rotation.
        heard: When it last answered, or was asked while nothing else was under way.
        latency: Seconds that its last answer took.
    """

    __slots__ = ("breaker", "governor", "heard", "latency", "transport", "url")

    def __init__(self, url: str, transport: Transport, connections: int, rng: random.Random):
        self.url = url
        self.transport = transport
        self.governor = Governor(connections)
        self.breaker = Breaker(rng)
        self.heard = self.latency = 0.0

    def free(self, now: float) -> bool:
        """Whether a request may go to it, be it as the probe."""
        if self.breaker.until is not None:
            return self.breaker.due(now)
        governor = self.governor
        return len(governor.under_way) < governor.limit and governor.held <= now

    def begin(self, holder: Any, now: float = 0.0) -> int:
        """Counts a request as sent, as the probe if there is need of one; its number."""
        if not self.governor.under_way:
            self.heard = now  # who was asked nothing may have been silent
        number = self.governor.begin(holder)
        if self.breaker.until is not None:
            self.breaker.probe = number
        return number

    def succeeded(self, number: int, latency: float, now: float) -> None:
        """A request was answered, after that many seconds."""
        breaker = self.breaker
        if number > breaker.proof:
            breaker.proof = number
        if breaker.streak:
            self.alive(number, now)
        self.governor.succeeded(number, latency, now)
        self.heard, self.latency = now, latency

    def alive(self, number: int, now: float) -> None:
        """The server said something to a request, if only that it has too many."""
        out = self.breaker.until is not None
        self.breaker.succeeded(number)
        if out and self.breaker.until is None:
            self.governor.settle(now)

    def chance(self, paid: float) -> float:
        """When a request may go to it without one of those under way ending; inf if never.

        Args:
            paid: From when on there is the right to one; a probe needs none.
        """
        breaker, governor = self.breaker, self.governor
        if breaker.until is not None:
            return math.inf if breaker.probe is not None else breaker.until
        if len(governor.under_way) >= governor.limit:
            return math.inf
        return max(paid, governor.held)

    def dropped(self, number: int, now: float) -> None:
        """A request was given up by its caller, or never sent."""
        self.breaker.dropped(number)
        self.governor.ended(number, now)

    def __repr__(self) -> str:
        return f"Replica({self.url!r})"


class Replicas:
    """All replicas of a model, in the user's order."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.all = tuple(replicas)
        self._only = self.all[0] if len(self.all) == 1 else None

    def choose(
        self, preferred: Replica | None, avoid: Replica | None, now: float
    ) -> Replica | None:
        """Where the next request goes; None if it must wait.

        Args:
            preferred: The replica of earlier calls.
            avoid: The replica that just failed this call; taken if there is no other.
            now: The time.
        """
        if self._only is not None:
            return self._only if self._only.free(now) else None
        best: Replica | None = None
        least = math.inf
        for replica in self.all:
            if not replica.free(now):
                continue
            if replica.breaker.until is not None:
                return replica  # a probe is due: nobody comes back without one
            if replica is avoid:
                continue
            governor = replica.governor
            load = len(governor.under_way)
            if load < least or (load == least and best and governor.sent < best.governor.sent):
                best, least = replica, load
        if best is None:
            return avoid if avoid is not None and avoid.free(now) else None
        if (
            preferred is not None
            and preferred is not avoid
            and preferred.free(now)
            and len(preferred.governor.under_way) <= least * _RATIO + _SLACK
        ):
            return preferred
        return best

    def home(self, key: str) -> Replica:
        """The replica for all that have this key in common."""
        return self.all[zlib.crc32(key.encode("utf-8", "replace")) % len(self.all)]

    def others(self, replica: Replica) -> bool:
        """Whether another than this one is in the rotation."""
        return any(r is not replica and r.breaker.until is None for r in self.all)

    def chance(self, paid: float) -> float:
        """The earliest that `Replica.chance` says."""
        return min(replica.chance(paid) for replica in self.all)

    @property
    def out(self) -> list[Replica]:
        """Those that are not in the rotation."""
        return [replica for replica in self.all if replica.breaker.until is not None]

    @property
    def under_way(self) -> int:
        """Requests under way at all of them."""
        return sum(len(replica.governor.under_way) for replica in self.all)
