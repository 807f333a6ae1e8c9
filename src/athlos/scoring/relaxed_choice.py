"""The letter of a choice, wherever an answer has it; the rule of RULER v2's multiple choice."""

import re

from athlos.scoring.boxed import last_boxed

__all__ = ["relaxed_choice"]

_STATED = re.compile(r"The final answer is (.+)$", re.MULTILINE)
_ALONE = re.compile(r"\b[A-Z]\b")
_ANSWER = re.compile(r"answer[*_]{0,2}[ \t]{0,9}:[\s*_]{0,9}([A-Z])(?![a-zA-Z0-9])", re.IGNORECASE)
_LETTERS = str.maketrans(
    {"أ": "A", "ب": "B", "ج": "C", "د": "D", "অ": "A", "ব": "B", "ড": "C", "ঢ": "D",
     "Ａ": "A", "Ｂ": "B", "Ｃ": "C", "Ｄ": "D"}  # noqa: RUF001
)  # fmt: skip


def relaxed_choice(text: str) -> str | None:
    """The letter that an answer chose, or None.

    The last ``The final answer is ...`` comes first, then the last box: one character, else the
    last capital that stands alone. If that has none, the last ``Answer: X`` counts.
    """
    stated: list[str] = _STATED.findall(text)
    chosen = stated[-1] if stated else last_boxed(text, skip_unclosed=False)
    if chosen is not None:
        chosen = chosen.translate(_LETTERS).strip()
        if len(chosen) == 1:
            return chosen.upper()
        alone: list[str] = _ALONE.findall(chosen)
        if alone:
            return alone[-1]
    answers: list[str] = _ANSWER.findall(text)
    return answers[-1].upper() if answers else None
