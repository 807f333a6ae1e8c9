"""What a row comes back as when it has been scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from athlos.serve.replays import Answered
from athlos.serve.rows import PARAMS, RESPONSE, Fields
from athlos.types import Message, Rollout

__all__ = ["extra", "scored", "text"]

_KEPT = frozenset({PARAMS, RESPONSE, "verifier_metadata", "agent_ref"})
_encode = msgspec.json.Encoder().encode


def extra(rollout: Rollout) -> dict[str, Any]:
    """What scoring adds to a row; numbers stand on the top level, where aggregation finds them."""
    found: dict[str, Any] = {}
    for source in (rollout.extra, rollout.metrics, rollout.rewards):
        for name, value in source.items():
            if name not in _KEPT and not name.startswith("_ng_"):
                found[name] = value
    if rollout.extra:
        try:
            _encode(rollout.extra)
        except (TypeError, ValueError, RecursionError):
            for name in rollout.extra:  # an author may keep anything there
                found.pop(name, None)
    found["status"] = rollout.status
    found["stop_reason"] = rollout.stop_reason
    found["reward_components"] = rollout.rewards
    found["reward"] = rollout.reward
    return found


def scored(fields: Fields, added: Mapping[str, Any], session: str) -> Answered:
    """The request's fields as they came, and what was added."""
    return Answered(200, _encode({**fields, **added}), session=session)


def text(messages: list[Message]) -> str | None:
    """What messages say, as an observation; None if there are none."""
    return "\n\n".join(message.text for message in messages) if messages else None
