"""Answers between ``<answer>`` and ``</answer>``; the rule of reasoning-gym and NeMo Gym."""

__all__ = ["tagged_answer"]

_OPEN, _CLOSE = "<answer>", "</answer>"
_BOX = "\\boxed{"


def tagged_answer(text: str) -> str:
    """The content of the last answer tag, else of the first box, else the whole text.

    Tags do not nest; a box ends with its first closing brace.
    """
    found = None
    start = text.find(_OPEN)
    while start >= 0:
        end = text.find(_CLOSE, start)
        if end < 0:
            break
        found = text[start + len(_OPEN) : end].strip()
        start = text.find(_OPEN, end)
    if found is not None:
        return found
    start = text.find(_BOX)
    end = text.find("}", start)
    if 0 <= start < end:
        return text[start + len(_BOX) : end].strip()
    return text.strip()
