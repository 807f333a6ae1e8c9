r"""Generated mathematics problems with exact answers: an endless, graded task set of our own.

`problem` maps a seed and a level to one problem; the same pair gives the same problem on every
machine. Answers are integers, LaTeX fractions or short LaTeX expressions, meant to be asked for in
``\boxed{}`` and compared by `athlos.scoring.verify_math`. Levels:

1. one step with single-digit numbers;
2. two steps, larger numbers, first fractions and percentages;
3. fractions, linear equations, ratios, speeds, divisibility;
4. systems, quadratics, counting, probability, series, powers modulo a number, derivatives;
5. intervals, matrices, infinite sums, integrals, complex numbers, number theory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from athlos.envs.math_with_judge.advanced import LEVEL_4, LEVEL_5
from athlos.envs.math_with_judge.elementary import LEVEL_1, LEVEL_2, LEVEL_3
from athlos.envs.seeds import draw

__all__ = ["LEVELS", "TOPICS", "Problem", "problem"]

_FAMILIES = {
    level: {family.__name__.strip("_"): family for family in families}
    for level, families in enumerate((LEVEL_1, LEVEL_2, LEVEL_3, LEVEL_4, LEVEL_5), start=1)
}

LEVELS = tuple(_FAMILIES)
"""1 (easiest) to 5."""

TOPICS: Mapping[int, tuple[str, ...]] = {
    level: tuple(families) for level, families in _FAMILIES.items()
}
"""The families of problems at each level, all equally likely."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem and its answer."""

    question: str
    """The text to show; formulas stand between dollar signs."""
    expected_answer: str
    r"""Integer, ``\frac{a}{b}`` or LaTeX expression; without dollar signs and units."""
    topic: str
    """The family it comes from, one of `TOPICS` of its level."""
    level: int
    """1 to 5."""


def problem(seed: int, level: int) -> Problem:
    """The problem with this number at this level.

    Raises:
        ValueError: There is no such level.
    """
    if level not in _FAMILIES:
        raise ValueError(f"level: found {level!r}, expected one of {', '.join(map(str, LEVELS))}")
    return draw(f"math {level}", seed, lambda rng: _draft(rng, level), lambda made: made.question)


def _draft(rng: Random, level: int) -> Problem:
    topic = rng.choice(TOPICS[level])
    question, answer = _FAMILIES[level][topic](rng)
    return Problem(question, answer, topic, level)
