"""Short free-form answers: taking one out of a text and comparing it with the expected one.

The semantics are those of NeMo Gym's ``string_match`` verifier. Nothing raises for anything a model
may write; time is linear in the length of the text.
"""

import re
from typing import Literal, get_args

from athlos.scoring.boxed import last_boxed, unwrap_text
from athlos.scoring.normalize import (
    abbreviate_states,
    closeness,
    drop_latex,
    drop_number_commas,
    drop_units,
    flatten_list,
    float_form,
    nfkc,
    strip_final_punctuation,
    strip_outer_quotes,
)

__all__ = ["ExtractionMode", "extract_answer", "score_string"]

ExtractionMode = Literal["boxed", "final_answer", "last_line", "full_response"]

CLOSE_ENOUGH = 0.98
"""Closeness that two numbers must exceed to be rewarded, and the reward for it."""

_ANSWER_LINE = re.compile(r"(?:final\s+)?answer\s*[:：]\s*(.+)", re.IGNORECASE)  # noqa: RUF001
_FORMS = (float_form, drop_number_commas, drop_latex, flatten_list, abbreviate_states)


def extract_answer(text: str, mode: ExtractionMode = "final_answer") -> str | None:
    r"""The answer that a text gives, or None when it gives none.

    Args:
        text: What the model wrote; spaces around it are ignored.
        mode: Where the answer stands.
            ``boxed``: in the last closed ``\boxed{...}``, ``\text{}`` around the content removed.
            ``final_answer``: after the last ``final answer:`` or ``answer:`` (a full-width colon
            will do) up to the end of that line, or of the next line with text; final full stops
            removed. Without such a line, as ``boxed``.
            ``last_line``: the last line that is not blank.
            ``full_response``: everything.

    Raises:
        ValueError: The mode is none of these.
    """
    text = text.strip()
    match mode:
        case "boxed":
            return _boxed_answer(text)
        case "final_answer":
            answer = _answer_after_colon(text)
            return _boxed_answer(text) if answer is None else answer
        case "last_line":
            lines = text.splitlines()
            return lines[-1].strip() if lines else None
        case "full_response":
            return text or None
    expected = ", ".join(get_args(ExtractionMode))
    raise ValueError(f"extraction_mode: found {mode!r}, expected one of {expected}")


def _boxed_answer(text: str) -> str | None:
    content = last_boxed(text)
    return None if content is None else unwrap_text(content.strip()).strip()


def _answer_after_colon(text: str) -> str | None:
    answer = None
    for match in _ANSWER_LINE.finditer(text):
        answer = match.group(1)
    if answer is None:
        return None
    return answer.strip().removesuffix(".").strip().rstrip(".")


def score_string(
    expected_answer: str, answer: str | None, *, case_sensitive: bool = False
) -> float:
    """Reward of an extracted answer: 1.0 if it is the expected one, 0.98 if a number close to it.

    Case-sensitive answers have to be equal but for spaces around them. Otherwise both sides are
    brought to NFKC, lose one pair of outer quotes, their case and their final punctuation; they
    match if they are equal then, or in any one further form: as floats, without thousands commas,
    without LaTeX, as lists without separators, with US states abbreviated. Failing that, numbers
    whose `closeness` exceeds 0.98 (a relative error of about one per cent) earn 0.98. Last, both
    are tried without units. An answer that is None or empty, and an empty expected answer, earn
    0.0.
    """
    if not answer or not expected_answer:
        return 0.0
    if case_sensitive:
        return float(answer.strip() == expected_answer.strip())
    answer, expected = _plain(answer), _plain(expected_answer)
    if answer == expected or any(form(answer) == form(expected) for form in _FORMS):
        return 1.0
    if closeness(expected, answer) > CLOSE_ENOUGH:
        return CLOSE_ENOUGH
    answer, expected = drop_units(answer), drop_units(expected)
    if answer == expected:
        return 1.0
    if closeness(expected, answer) > CLOSE_ENOUGH:
        return CLOSE_ENOUGH
    return 0.0


def _plain(text: str) -> str:
    return strip_final_punctuation(strip_outer_quotes(nfkc(text)).lower())
