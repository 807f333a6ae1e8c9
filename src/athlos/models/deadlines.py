"""How long a model client waits."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Deadlines"]


class Deadlines(Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds.

    Attributes:
        connect: For a connection.
        first_byte: For the reply to begin. A server that does not stream begins when it is done.
        total: For one call, its repetitions and the waits between them included.
    """

    connect: float = 10.0
    first_byte: float = 900.0
    total: float = 1800.0
