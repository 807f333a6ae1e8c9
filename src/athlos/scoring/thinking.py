"""Thoughts that a model wrote into its answer, between ``<think>`` and ``</think>``."""

__all__ = ["is_unfinished_thought", "without_thoughts"]

_OPEN, _CLOSE = "<think>", "</think>"


def is_unfinished_thought(text: str) -> bool:
    """Whether a thought begins that does not end: what follows it was never said as an answer."""
    return text.rfind(_OPEN) > text.rfind(_CLOSE)


def without_thoughts(text: str) -> str:
    """The text without thoughts; one that does not end reaches to the end of the text."""
    kept: list[str] = []
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        kept.append(text[position:start])
        end = text.find(_CLOSE, start)
        if end < 0:
            return "".join(kept).strip()
        position = end + len(_CLOSE)
    kept.append(text[position:])
    return "".join(kept).strip()
