"""When a server is given up for a while: no request but a probe goes to one that is dead.

How many failures in a row make it dead depends on what they say. A refused connection says that
nobody listens: three of them are enough. Any other failure (a 5xx, a broken connection, a time-out,
nonsense) may be chance: a server that fails half of all requests shows five in a row every sixty
requests, but twenty only once in two million.

"In a row" goes by the order of sending. An answer to a request that was sent before the failures
began says nothing about the server now, nor does the failure of one that was sent before the last
request that was answered. And a server may refuse some at once while it works on others: as long as
many that were sent before a failure, and after the failures began, are still under way, it lives.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import takewhile

__all__ = ["Breaker"]

_REFUSED = 3
_FAILED = 20
_SHARE = 10  # failures for one that is alive
_LONGEST = 15.0  # seconds between two probes


class Breaker:
    """Whether one replica is in the rotation.

    Requests are numbered in the order of sending, from 1. Times are seconds of any one clock.

    Args:
        rng: Draws the jitter of the waits, so that many clients do not probe at once.

    Attributes:
        until: When the next probe may go; None while the replica is in the rotation.
        probe: Number of the probe under way.
        reason: What the last failure said.
        proof: The highest number that was answered.
        streak: Failures in a row.
    """

    __slots__ = (
        "_first",
        "_opened",
        "_refused",
        "_rng",
        "probe",
        "proof",
        "reason",
        "streak",
        "until",
    )

    def __init__(self, rng: random.Random) -> None:
        self.until: float | None = None
        self.probe: int | None = None
        self.reason = ""
        self.proof = 0
        self.streak = 0
        self._refused = 0
        self._first = 0
        self._opened = 0
        self._rng = rng

    def due(self, now: float) -> bool:
        """Whether the replica is out and a request may go to it as the probe."""
        return self.until is not None and self.probe is None and now >= self.until

    def succeeded(self, number: int) -> None:
        """The server answered, whatever it said."""
        if number > self.proof:
            self.proof = number
        if self.streak and number > self._first:
            self.streak = self._refused = self._opened = 0
            self.until = self.probe = None

    def failed(
        self,
        number: int,
        now: float,
        reason: str,
        *,
        refused: bool = False,
        under_way: Iterable[int] = (),
    ) -> None:
        """There was no usable answer.

        Args:
            number: Of the request.
            now: The time.
            reason: For a person.
            refused: Whether not even a connection could be made.
            under_way: The numbers of all other requests that are under way, in their order.
        """
        if self.until is not None:
            if number == self.probe:
                self.open(now, reason)
            return
        if number < self.proof:
            return
        if not self.streak or number < self._first:
            self._first = number
        self.streak += 1
        self._refused = self._refused + 1 if refused else 0
        self.reason = reason
        if self._refused >= _REFUSED or self.streak >= _FAILED:
            alive = sum(1 for _ in takewhile(number.__gt__, filter(self._first.__lt__, under_way)))
            if alive * _SHARE < self.streak:
                self.open(now, reason)

    def dropped(self, number: int) -> None:
        """A request was given up by its caller; if it was the probe, another may go."""
        if number == self.probe:
            self.probe = None

    def open(self, now: float, reason: str) -> None:
        """Takes the replica out of the rotation until a probe is answered."""
        wait = min(_LONGEST, 2.0**self._opened)
        self._opened = min(self._opened + 1, 10)
        self.until = now + wait * self._rng.uniform(0.75, 1.0)
        self.probe = None
        self.reason = reason
        self.streak = max(self.streak, 1)
