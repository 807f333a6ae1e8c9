"""When to ask again, how long to wait before, and how many repetitions a model gets in all.

Source of the waits, exponential backoff with full jitter: M. Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015. Source of the budget: "Addressing Cascading Failures" in
B. Beyer et al., "Site Reliability Engineering", 2016: repetitions are a share of the requests.
"""

from __future__ import annotations

import random

from msgspec import Struct

from athlos.errors import ConfigError

__all__ = ["Retry", "RetryBudget"]

_SHARE = 0.1
_LEAST = 10
_EARNED = 10  # repetitions that an answer pays for: enough for a server that fails nine of ten
_TRICKLE = 8.0  # seconds after which there is one without any


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The retry rule of a model client. Its bound is the call's deadline, or `max_tries`.

    Attributes:
        max_tries: Requests in all, the first included; None leaves the bound to the deadline.
        base: Seconds; the n-th wait is drawn from 0 to `base * 2**n` ...
        cap: ... but never above this.
    """

    max_tries: int | None = None
    base: float = 0.5
    cap: float = 8.0

    def __post_init__(self) -> None:
        if (self.max_tries is not None and self.max_tries < 1) or min(self.base, self.cap) < 0:
            raise ConfigError(
                "retry: max_tries must be at least 1, base and cap at least 0 seconds; "
                f"found {self.max_tries}, {self.base:g}, {self.cap:g}"
            )

    def wait(self, tries: int, retry_after: float | None, rng: random.Random) -> float:
        """Seconds to wait after the `tries`-th request failed.

        What the server asked for is a lower bound; the jitter on top keeps callers apart.
        """
        drawn = rng.uniform(0.0, min(self.cap, self.base * 2.0 ** min(tries - 1, 30)))
        return drawn if retry_after is None else retry_after + min(drawn, self.base)


class RetryBudget:
    """How many repetitions a model may send, so that they do not become the load themselves.

    Without any answer they are 10 % of what was sent, or ten; after that one every 8 s, which keeps
    a lone call going. Each answer pays for ten.

    Attributes:
        sent: Requests, repetitions included.
        debt: Repetitions that no answer has paid for yet.
    """

    __slots__ = ("_last", "debt", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.debt = 0
        self._last = 0.0

    def ready(self) -> float:
        """From when on the next repetition may be sent; 0 if that is now."""
        return 0.0 if self.debt < max(_LEAST, _SHARE * self.sent) else self._last + _TRICKLE

    def spend(self, now: float) -> None:
        """A repetition is sent."""
        self.debt += 1
        self._last = now

    def earn(self) -> None:
        """A request was answered."""
        self.debt = max(0, self.debt - _EARNED)
