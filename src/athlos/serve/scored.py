"""What a row comes back as when it has been scored."""

from __future__ import annotations

from typing import Any

import msgspec

from athlos.serve.replays import Answered
from athlos.serve.rows import PARAMS, RESPONSE, Fields
from athlos.types import Message, Rollout

__all__ = ["extra", "scored", "text"]

_KEPT = frozenset({PARAMS, RESPONSE, "verifier_metadata", "agent_ref"})
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(Fields).decode


def extra(rollout: Rollout) -> bytes:
    """What scoring adds to a row, as JSON.

    Numbers stand on the top level, where aggregation finds them.
    """
    found: dict[str, Any] = {}
    for source in (rollout.extra, rollout.metrics, rollout.rewards):
        for name, value in source.items():
            if name not in _KEPT and not name.startswith("_ng_"):
                found[name] = value
    found["status"] = rollout.status
    found["stop_reason"] = rollout.stop_reason
    found["reward_components"] = rollout.rewards
    found["reward"] = rollout.reward
    try:
        return _encode(found)
    except (TypeError, ValueError, RecursionError):
        if not rollout.extra:
            raise
        # an author may keep anything there
        return extra(msgspec.structs.replace(rollout, extra={}))


def scored(fields: Fields, added: bytes, session: str) -> Answered:
    """The request's fields as they came, and what was added."""
    return Answered(200, _encode({**fields, **_fields(added)}), session=session)


def text(messages: list[Message]) -> str | None:
    """What messages say, as an observation; None if there are none."""
    return "\n\n".join(message.text for message in messages) if messages else None
