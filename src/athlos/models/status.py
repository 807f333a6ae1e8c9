"""What is unusual about the servers of a model, in one sentence for a person."""

from __future__ import annotations

import asyncio

from athlos.models.replicas import Replica, Replicas

__all__ = ["describe"]

_SILENCE = 10.0  # seconds, and three times what the last answer took


def describe(replicas: Replicas, *, queue: bool) -> str:
    """The sentence; "" if nothing is unusual.

    Args:
        replicas: The servers.
        queue: Whether calls wait for their turn.
    """
    now = _now()
    out = replicas.out
    if out and len(out) == len(replicas.all):
        first = min(out, key=lambda replica: replica.breaker.until or 0.0)
        probing = any(replica.breaker.probe is not None for replica in out)
        wait = max(0.0, (first.breaker.until or 0.0) - now)
        when = "under way" if probing else f"in {wait:.0f} s"
        return f"waiting for {_reason(first)}; next try {when}"
    if out:
        verb = "is" if len(out) == 1 else "are"
        return f"{len(out)} of {len(replicas.all)} replicas {verb} out: {_reason(out[0])}"
    for replica in replicas.all:
        silence = now - replica.heard
        if replica.governor.under_way and silence > max(_SILENCE, 3 * replica.latency):
            asked = len(replica.governor.under_way)
            return f"no answer from {replica.url} for {silence:.0f} s, {asked} requests under way"
    if not queue:
        return ""
    wait = min(replica.governor.held for replica in replicas.all) - now
    if wait > 0:
        return f"{replicas.all[0].url} asks to wait for {wait:.0f} s"
    for replica in replicas.all:
        if replica.governor.reason:
            return f"limit lowered to {replica.governor.limit} by {replica.governor.reason}"
    return ""


def _reason(replica: Replica) -> str:
    return f"{replica.url}: {replica.breaker.reason}"


def _now() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # asked from outside of the run
        return 0.0
