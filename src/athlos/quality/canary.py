"""Notices when text of a model is run as code: it would call `reached`."""

from __future__ import annotations

__all__ = ["TEXT", "reached", "take"]

TEXT = "__import__('athlos.quality.canary', fromlist=['reached']).reached()"
"""Code that does nothing but tell."""

_seen = False


def reached() -> bool:
    """Notes that somebody ran the text."""
    global _seen
    _seen = True
    return True


def take() -> bool:
    """Whether somebody did, since this was last asked."""
    global _seen
    seen, _seen = _seen, False
    return seen
