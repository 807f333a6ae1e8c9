"""What a verifier reads of a rollout: the three conventions that NeMo Gym's verifiers follow.

All leave out a thought that does not end: what follows a ``<think>`` without ``</think>`` was never
said as an answer.
"""

from __future__ import annotations

from athlos import Rollout
from athlos.envs.said import blocks, first_block, said, said_text

__all__ = ["all_text", "drop_open_thought", "joined_text", "last_block"]

_OPEN, _CLOSE = "<think>", "</think>"


def all_text(rollout: Rollout) -> str:
    """The text of all the model's messages, one behind the other."""
    return drop_open_thought(said_text(rollout))


def joined_text(rollout: Rollout) -> str:
    """The same with a line break between two blocks of text."""
    texts = (text for message in said(rollout) for text in blocks(message))
    return drop_open_thought("\n".join(texts))


def last_block(rollout: Rollout) -> str:
    """The first text of the last thing that the model said; "" if that is a call or a thought."""
    return drop_open_thought(first_block(rollout))


def drop_open_thought(text: str) -> str:
    """The text up to a ``<think>`` that is never closed."""
    start = text.find(_OPEN, text.rfind(_CLOSE) + 1)
    return text if start < 0 else text[:start]
