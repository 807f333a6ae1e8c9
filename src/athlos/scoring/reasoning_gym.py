"""Scores of the library reasoning-gym, without running what the model wrote.

Some of its scorers hand the answer to `eval`, or to SymPy's `parse_expr`, which evaluates it as
Python. Here the former read literals only, and the latter get formulas only.
"""

import ast
import re
import sys
from typing import Any

__all__ = ["is_formula", "score_answer"]

_PACKAGE = "reasoning_gym"
_EVALUATE = frozenset({"string_insertion", "spiral_matrix", "binary_matrix", "n_queens"})
_PARSE = frozenset(
    {
        "countdown", "puzzle24", "simple_integration", "intermediate_integration",
        "polynomial_multiplication",
    }
)  # fmt: skip
_NAMES = (
    "sin|cos|tan|cot|sec|csc|asin|acos|atan|sinh|cosh|tanh|asinh|acosh|atanh|exp|log|ln|sqrt|Abs|"
    "erf|erfi|Ei|Si|Ci|Integral|pi|[A-Za-z](?:_?[0-9])?"
)
# a dot belongs to a number: no attribute of anything is ever asked for
_FORMULA = re.compile(rf"(?:\s|[-+*/()=,]|\d{{1,40}}(?:\.\d{{0,40}})?(?![.\w])|\b(?:{_NAMES})\b)*+")
# exponents that no tower can be built of: 9**9**9 has more digits than any memory
_EXPONENT = re.compile(
    r"\*\*\s*(?:-?\d{1,2}(?![\d.])|[A-Za-z]\b|\(\s*-?[\d A-Za-z/*]{1,20}\))(?!\s*\*\*)"
)
_LONGEST = 2000


def is_formula(text: str) -> bool:
    """Whether a text is made of numbers, variables, usual functions and operators alone.

    Powers may not be stacked, and numbers have exponents of two digits at most.
    """
    if len(text) > _LONGEST or not text.isascii() or _FORMULA.fullmatch(text) is None:
        return False
    powers = text.count("**")
    plain = [found for found in _EXPONENT.findall(text) if "**" not in found[2:]]
    large = [found for found in plain if re.search(r"\d{3}", found)]
    return len(plain) == powers and not large and len(re.findall(r"\)\s*\*\*", text)) <= 2


def score_answer(name: str, dataset: Any, answer: str, entry: Any) -> float:
    """The library's score, 0 to 1; 0 for what its scorer stumbles over, and for code.

    Args:
        name: Of the data set, as the library has it.
        dataset: The data set.
        answer: As the model wrote it.
        entry: What the data set made.
    """
    scorer = sys.modules.get(type(dataset).__module__)
    module = "" if scorer is None else scorer.__name__.rpartition(".")[2]
    if scorer is not None and module in _EVALUATE and scorer.__name__.startswith(_PACKAGE):
        vars(scorer)["eval"] = ast.literal_eval  # the name is looked up there first
    if {module, name} & _PARSE and not is_formula(answer):
        return 0.0
    try:
        return float(dataset.score_answer(answer, entry))
    except Exception:  # noqa: BLE001 - the scorers stumble over malformed answers in many ways
        return 0.0
