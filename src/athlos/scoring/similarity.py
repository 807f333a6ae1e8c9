"""How alike two texts are: by equality, or by the ratio of difflib's `SequenceMatcher`.

The semantics are those of NeMo Gym's ``equivalence_rule`` verifier. The ratios take time that grows
with the square of the length, and faster on texts that repeat themselves: bound it.
"""

from difflib import SequenceMatcher
from typing import Literal, get_args

from athlos.scoring.normalize import fold

__all__ = ["SimilarityRule", "score_similarity"]

SimilarityRule = Literal["exact", "seq_match", "weighted_seq_match"]

_PREFIX = 10
_PREFIX_SHARE = 0.15


def score_similarity(expected_answer: str, text: str, rule: SimilarityRule = "exact") -> float:
    """How alike a text and the expected one are, in lower case and with single spaces.

    Args:
        expected_answer: The text to reach.
        text: What the model wrote, all of it; 0.0 if there is nothing in it.
        rule: ``exact``: 1.0 if they are equal, else 0.0.
            ``seq_match``: the ratio of the two.
            ``weighted_seq_match``: 0.85 of that, and 0.15 of the ratio of the first ten
            characters of the expected text to as many of the other.

    Raises:
        ValueError: The rule is none of these.
    """
    written, expected = fold(text), fold(expected_answer)
    if rule not in get_args(SimilarityRule):
        known = ", ".join(get_args(SimilarityRule))
        raise ValueError(f"grading_rule: found {rule!r}, expected one of {known}")
    if not written:
        return 0.0
    if rule == "exact":
        return float(written == expected)
    ratio = _ratio(written, expected)
    if rule == "seq_match":
        return ratio
    prefix = expected[:_PREFIX]
    return (1 - _PREFIX_SHARE) * ratio + _PREFIX_SHARE * _ratio(written[: len(prefix)], prefix)


def _ratio(written: str, expected: str) -> float:
    return SequenceMatcher(None, written, expected).ratio()
