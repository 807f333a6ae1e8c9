"""What a request without a usable reply says about its server."""

from __future__ import annotations

from athlos.errors import ModelError
from athlos.models.replicas import Replica
from athlos.models.transport import TransportError

__all__ = ["blame"]


def blame(
    replica: Replica,
    number: int,
    raised: BaseException,
    now: float,
    allowed: float,
    *,
    fair: bool,
) -> ModelError | None:
    """Ends a request with its replica's governor and breaker; the error for the caller.

    A server that has too many requests, or that refuses one for what is in it, is alive.

    Args:
        replica: Where it was sent.
        number: Of the request.
        raised: What came in place of a reply.
        now: The time.
        allowed: Seconds that the server had for it.
        fair: Whether that is enough to blame the server.

    Returns:
        None if nothing was wrong with the server: the call was cancelled, or a bug was met.
    """
    error: ModelError | None = None
    reason = str(raised)
    if isinstance(raised, ModelError):
        error, reason = raised, raised.message
    elif isinstance(raised, TransportError):
        error = ModelError(f"{replica.url}: {raised}", retryable=True)
    elif isinstance(raised, TimeoutError):
        reason = f"no reply within {allowed:.3g} s"
        error = ModelError(f"{replica.url}: {reason}", retryable=True)
    if error is None or (isinstance(raised, TimeoutError) and not fair):
        replica.dropped(number, now)
    elif error.status == 429 or (error.status == 503 and error.retry_after is not None):
        replica.alive(number, now)
        replica.governor.overloaded(number, now, error.retry_after, f"HTTP {error.status}")
    elif error.status is not None and error.status < 500:
        replica.alive(number, now)
        replica.governor.ended(number, now)
    else:
        governor = replica.governor
        governor.ended(number, now)
        replica.breaker.failed(
            number,
            now,
            reason,
            refused=isinstance(raised, TransportError) and raised.kind == "connect",
            under_way=governor.under_way,
        )
    if error is not None and error is not raised:
        error.__cause__ = raised
    return error
