"""What goes wrong at a stub server, and in which requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from athlos.testing.stub.view import View

__all__ = ["StubFaults"]


class StubFaults(Struct, kw_only=True):
    """Faults of a stub server. They may be changed while it runs; each request looks anew.

    Attributes:
        latency: Seconds before anything is answered.
        token_delay: Seconds that each token takes.
        busy: How many of the next requests for samples are turned away; it counts down.
        busy_status: With which status: 429 or 503.
        retry_after: What they are told, in seconds; None tells nothing.
        when: Which requests the following are for; all by default.
        disconnect_at: A stream breaks after so many events; a plain reply breaks in its middle.
        short_logprobs: The last log-probability is missing.
        bad_logprob: One log-probability is no number: `nan` writes NaN, which is no JSON, and
            `null` writes null.
        disagreeing: The `token_id:` strings, or other second sources of ids, differ from the ids.
        missing_ids: The ids are left out, though they were asked for, `token_id:` strings too.
        replay_shift: What is added to log-probabilities of prompts, which then disagree with what
            was reported when they were sampled.
    """

    latency: float = 0.0
    token_delay: float = 0.0
    busy: int = 0
    busy_status: int = 429
    retry_after: float | None = 0.01
    when: Callable[[View], bool] | None = None
    disconnect_at: int | None = None
    short_logprobs: bool = False
    bad_logprob: Literal["", "nan", "null"] = ""
    disagreeing: bool = False
    missing_ids: bool = False
    replay_shift: float = 0.0

    def of(self, view: View) -> StubFaults:
        """The faults that a request meets."""
        if self.when is None or self.when(view):
            return self
        return _NONE


_NONE = StubFaults()
