r"""`verify_math` says what `math_metric` of math-verify says, as NeMo Gym's verifier sets it up."""

import logging
import random

import pytest

from athlos.envs.math_with_judge.problems import LEVELS, problem
from athlos.scoring import verify_math

WRITTEN = [
    r"\boxed{@}", "The answer is @.", "$@$", "@", r"So \(@\) it is.", r"Final answer: \boxed{ @ }",
    r"$$x = @$$", r"\boxed{\text{@}}", r"First \boxed{0}, then \boxed{@}.", "**Answer:** @ m",
    r"\[@\]", r"Therefore @ \\ is right.", r"\boxed{@", "I think that it is @, or 17.",
]  # fmt: skip
ANSWERS = [
    "5", "-5", "0.5", "1/2", r"\frac{1}{2}", r"\frac12", r"-\dfrac{7}{3}", "50\\%", "12,345",
    r"\sqrt{8}", r"2\sqrt{2}", r"\pi", "3.14159", "(1, 2)", "[1, 2)", r"\{1, 2\}", "1, 2", "2, 1",
    "x^2 + 2x", "x(x+2)", "x = 3", "3", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "3 + 4i",
    r"\text{Paris}", "Paris", r"\infty", r"x \le 3", r"10^{6}", "1000000", r"\emptyset", "7 cm",
    r"90^\circ", "A", r"\frac{x+1}{2}", "1e3", "1000", "", "nothing", r"\frac{1}{0}", "0.333333",
    r"1\frac{1}{2}", "1.5", r"\log_2 8", "5!", r"\binom{5}{2}", "10", "true", r"a \cup b",
]  # fmt: skip


@pytest.fixture(scope="module")
def reference():
    package = pytest.importorskip("math_verify.metric", reason="math-verify is not installed")
    from math_verify import ExprExtractionConfig, LatexExtractionConfig

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    metric = package.math_metric(
        gold_extraction_target=(LatexExtractionConfig(),),
        pred_extraction_target=(ExprExtractionConfig(), LatexExtractionConfig()),
    )

    def score(gold, text):
        try:
            return metric([rf"\boxed{{{gold}}}"], [text])[0]
        except Exception:
            return 0.0

    return score


def test_answers_of_many_forms_in_many_texts(reference):
    rng = random.Random(0)
    scores = []
    for gold in ANSWERS:
        for answer in (gold, gold, rng.choice(ANSWERS)):
            text = rng.choice(WRITTEN).replace("@", answer)
            expected = reference(gold, text)
            assert verify_math(gold, text).score == expected, (gold, text)
            scores.append(expected)
    assert 30 < sum(scores) < len(scores) - 30


def test_generated_problems_and_their_answers(reference):
    rng = random.Random(1)
    made = [problem(seed, level) for level in LEVELS for seed in range(5)]
    for one in made:
        golds = [one.expected_answer, rng.choice(made).expected_answer]
        for answer in golds:
            text = f"{one.question} {rng.choice(WRITTEN).replace('@', answer)}"
            expected = reference(one.expected_answer, text)
            assert verify_math(one.expected_answer, text).score == expected, (one, text)
