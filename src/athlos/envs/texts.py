"""What a verifier reads of a rollout: the conventions that NeMo Gym's verifiers follow.

Both leave out a thought that does not end: what follows a ``<think>`` without ``</think>`` was
never said as an answer.
"""

from __future__ import annotations

from athlos import Rollout
from athlos.envs.said import said, said_text

__all__ = ["all_text", "drop_open_thought", "last_block"]

_OPEN, _CLOSE = "<think>", "</think>"


def all_text(rollout: Rollout) -> str:
    """The text of all the model's messages, one behind the other."""
    return drop_open_thought(said_text(rollout))


def last_block(rollout: Rollout) -> str:
    """The first text of the model's last message; "" if that calls a tool or has no text."""
    messages = said(rollout)
    if not messages or messages[-1].tool_calls:
        return ""
    content = messages[-1].content
    if isinstance(content, list):
        content = str(content[0].get("text") or "") if content else ""
    return drop_open_thought(content or "")


def drop_open_thought(text: str) -> str:
    """The text up to a ``<think>`` that is never closed."""
    start = text.find(_OPEN, text.rfind(_CLOSE) + 1)
    return text if start < 0 else text[:start]
