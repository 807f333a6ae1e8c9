"""Server-sent events, and what the two event grammars have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["event"]

_encode = msgspec.json.Encoder().encode


def event(value: Mapping[str, Any]) -> bytes:
    """One event, whose name is its `type`."""
    return b"event: " + str(value["type"]).encode() + b"\ndata: " + _encode(value) + b"\n\n"
