"""The scorers of reasoning-gym run nothing that a model wrote."""

import pytest

import athlos
from athlos.quality import canary
from athlos.scoring.reasoning_gym import is_formula, score_answer

pytest.importorskip("reasoning_gym")

RISKY = [
    "string_insertion", "spiral_matrix", "binary_matrix", "n_queens", "countdown", "puzzle24",
    "simple_integration", "intermediate_integration", "polynomial_multiplication",
]  # fmt: skip


def first(name):
    env = athlos.load(f"reasoning-gym:{name}")
    dataset = env._dataset(env.make_config({"size": 6, "seed": 5}))
    return dataset, [dataset[i] for i in range(6)]


@pytest.mark.parametrize("name", RISKY)
def test_code_in_an_answer_is_not_run_and_right_answers_score(name):
    canary.take()
    dataset, entries = first(name)
    for entry in entries:
        for code in (canary.TEXT, f"[{canary.TEXT}]", f"x + {canary.TEXT}"):
            assert score_answer(name, dataset, code, entry) < 0.5
        if entry["answer"]:
            assert score_answer(name, dataset, entry["answer"], entry) == 1.0
    assert not canary.take()


@pytest.mark.parametrize(
    "text",
    ["3*97/3 - 3 + 73 - 9", "x**2 + 3*x - 1.5", "-sin(2*x)/2 + C", "2*exp(x)", "x**(1/2)",
     "(x+1)**2", "3*Integral(x**3*cos(3*x), x) + C",
     "log(x) + C", "24", "x0*y_1 + sqrt(2)", "x*exp(x) - exp(x)", "3*x**(-2)"],
)  # fmt: skip
def test_formulas_are_formulas(text):
    assert is_formula(text)


@pytest.mark.parametrize(
    "text",
    [canary.TEXT, "().__class__", "x.diff()", "open('/etc/passwd')", "9**9**9", "2**(9**9)",
     "((9**99)**99)**99**99", "9**999", "lambda: 0", "[1]*9", "x if y else z", "9" * 99, "eval(x)",
     "5000!", "(((9**99)**99)**99)**99", "1" * 3000],
)  # fmt: skip
def test_code_and_towers_are_not(text):
    assert not is_formula(text)
