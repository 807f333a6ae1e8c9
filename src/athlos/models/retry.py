"""When to ask again, and how long to wait before: exponential backoff with full jitter.

Source of the rule: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random

from msgspec import Struct

from athlos.errors import ConfigError

__all__ = ["Retry"]


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
