"""How many requests one replica gets at once: the limit falls where more of them bring nothing.

Additive increase and multiplicative decrease, the rule by which a sender finds its share of a
network (D.-M. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
Avoidance", 1989). The limit starts at its cap, which is what the user asked for. Two things lower
it: a server that says so (HTTP 429, 503 with Retry-After), and a latency knee.

The knee. Requests in a server's queue raise its latency, not its throughput. Little's law says
that throughput times latency is the number of requests inside; so the sign of a queue is that this
product rises while throughput stays. A server that merely became slower, or gets longer tasks,
keeps the product; one that batches raises its throughput, too. To be fair to short and long
answers, latency is that of a cohort: requests that were sent in a row, all of which have ended.
A sign is followed by a trial: the limit is lowered, and goes back if that costs throughput.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Governor"]

_DECREASE = 0.7
_INCREASE = 1 / 16  # of the limit, if that is more than 1: from 2867 back to 4096 in six latencies
_COHORT = 16  # at least; else as many as are under way
_MORE = 1.5  # requests inside, compared to the reference: a queue, or a bigger batch
_BUSIER = 1.2  # requests under way: without more of them, more inside are chance
_WORTH = 0.25  # of their growth must show in the throughput ...
_FASTER = 1.3  # ... or this factor, which a queue never shows
_FREE = 0.9  # a lower limit that keeps this share of the throughput cost nothing
_SIGMAS = 3.0  # by which latency must differ
_REFUSED = 20  # refusals in a row after which the server is asked with one request at a time
_LONGEST = 15.0  # seconds between these


class _Cohort(NamedTuple):
    rate: float  # answers per second while it ran
    latency: float
    variance: float  # of that mean
    busy: int  # under way at its end; 0 if it began with none, so that it saw the queue grow

    @property
    def inside(self) -> float:
        return self.rate * self.latency


class Governor:
    """The requests under way at one replica, and how many may be.

    Requests are numbered from 1 in the order of sending. Times are seconds of any one clock.

    Args:
        cap: The limit at the start, and never exceeded.

    Attributes:
        limit: How many may be under way; at least 1.
        held: Until when none may begin, because the server asked for it.
        sent: How many were begun.
        under_way: By number, whatever `begin` was given.
        reason: What lowered the limit; "" while it is at the cap.
    """

    __slots__ = (
        "_answers",
        "_cut",
        "_exact",
        "_first",
        "_last",
        "_left",
        "_lone",
        "_reference",
        "_refused",
        "_since",
        "_squares",
        "_sum",
        "_trial",
        "cap",
        "held",
        "limit",
        "reason",
        "sent",
        "under_way",
    )

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.limit = cap
        self.held = 0.0
        self.sent = 0
        self.under_way: dict[int, Any] = {}
        self.reason = ""
        self._exact = float(cap)
        self._refused = 0  # since the last answer
        self._lone = 0  # of them, those with nothing else under way
        self._cut = 0  # the last number sent before the limit was lowered
        self._reference: _Cohort | None = None
        self._trial: tuple[float, float] | None = None  # throughput and limit to go back to
        self._first = self._last = self._left = self._answers = 0
        self._sum = self._squares = 0.0
        self._since: float | None = None

    def begin(self, holder: Any = None) -> int:
        """Counts a request as sent; its number."""
        self.sent = number = self.sent + 1
        self.under_way[number] = holder
        return number

    def succeeded(self, number: int, latency: float, now: float) -> None:
        """A request was answered, after that many seconds."""
        under_way = self.under_way
        if self._last == 0:  # the first answer since the cohort began: now its size is known
            self._left = max(_COHORT, len(under_way) * (1 if self._trial is None else 2))
            self._last = self._first + self._left
            if self._since is None:
                self._since = now - latency
        del under_way[number]
        if self._refused:
            self._refused = self._lone = 0
            self.limit = int(self._exact)
        self._answers += 1
        if self.limit < self.cap and self._trial is None:
            self._set(self._exact + max(1.0 / self._exact, _INCREASE))
        if self._first < number <= self._last:
            self._sum += latency
            self._squares += latency * latency
            self._left -= 1
            if not self._left:
                self._judge(now)

    def ended(self, number: int, now: float) -> None:
        """A request came to nothing, and says nothing about the server's load."""
        del self.under_way[number]
        if number > self._first and (number <= self._last or not self._last):
            self.settle(now)  # a cohort without its failures would be a biased one

    def overloaded(
        self, number: int, now: float, retry_after: float | None = None, reason: str = "HTTP 429"
    ) -> None:
        """The server refused a request because it has too many; it may say for how long."""
        busy = len(self.under_way)
        del self.under_way[number]
        self._refused += 1
        wait = retry_after or 0.0
        if self._refused >= _REFUSED and not self.under_way:
            self.limit = 1  # nothing but refusals: ask with one, and ever less often
            wait = max(wait, min(_LONGEST, 2.0 ** min(self._lone, 10)))
            self._lone += 1
        self.held = max(self.held, now + wait)
        if number > self._cut and not self._lone:  # one for all that were sent under one limit
            self._lower(busy, reason)
            self._trial = None
            self._reference = None
            self._restart(now)

    def settle(self, now: float) -> None:
        """Measures anew: what was under way until now was disturbed from outside."""
        if self._trial is not None:
            self._set(self._trial[1])
            self._trial = None
        self._reference = None
        self._restart(now)

    def _lower(self, busy: int, reason: str) -> None:
        self._set(min(self._exact, busy) * _DECREASE)
        self._cut = self.sent
        self.reason = reason

    def _set(self, limit: float) -> None:
        self._exact = min(float(self.cap), max(1.0, limit))
        self.limit = 1 if self._lone else int(self._exact)
        if self.limit == self.cap:
            self.reason = ""

    def _restart(self, now: float) -> None:
        """Begins a cohort with the next request; its size waits for the first answer."""
        self._first = self.sent
        self._last = 0
        self._left = 0
        self._answers = 0
        self._sum = 0.0
        self._squares = 0.0
        self._since = now

    def _judge(self, now: float) -> None:
        """Draws the conclusion from a complete cohort."""
        assert self._since is not None
        size = self._last - self._first
        latency = self._sum / size
        if not latency:  # quicker than the clock ticks
            self._restart(now)
            return
        variance = max(0.0, self._squares / size - latency * latency) / size
        busy = len(self.under_way) + 1
        rate = self._answers / max(now - self._since, 1e-9)
        cohort = _Cohort(rate, latency, variance, busy if self._first else 0)
        old = self._reference
        if self._trial is not None:
            best, limit = self._trial
            if rate < _FREE * best:
                self._set(limit)
                self._trial = None
            elif self.limit > 1:
                self._reference = cohort
                self._try(max(rate, best), busy)
            else:
                self._trial = None
        elif old is not None and self._queued(cohort, old):
            self._try(max(rate, old.rate), busy)
        elif (
            old is None
            or not old.busy
            or latency < old.latency
            or not 1 / _FASTER < rate / old.rate < _FASTER
        ):
            self._reference = cohort  # else a slow rise, which is measured from where it began
        self._restart(now)

    def _try(self, rate: float, busy: int) -> None:
        self._trial = (rate, self._exact)
        self._lower(busy, "latency that rises without throughput")

    @staticmethod
    def _queued(new: _Cohort, old: _Cohort) -> bool:
        spread = (new.variance + old.variance) ** 0.5
        more, faster = new.inside / old.inside, new.rate / old.rate
        return (
            new.busy > _BUSIER * old.busy
            and more > _MORE
            and faster < min(_FASTER, 1 + _WORTH * (more - 1))
            and new.latency - old.latency > _SIGMAS * spread
        )
