"""Nested expressions for the calculator, made from a seed, with their values under its rules."""

from __future__ import annotations

import ast
import math
from random import Random
from typing import NamedTuple

from athlos.envs.math_advanced_calculations.rules import RULES
from athlos.envs.seeds import draw
from athlos.scoring.calls import ToolUse

__all__ = ["LEVELS", "Expression", "expressions", "steps"]

LEVELS = (1, 2, 3, 4)
_SHAPES = {1: (1, 1), 2: (2, 1), 3: (3, 2), 4: (5, 3)}  # depth, how many
_TWO = ("add", "subtract", "multiply", "divide", "power", "log")
_ONE = ("sin", "cos")


class Expression(NamedTuple):
    """An expression as text, its value, and how many functions are inside each other."""

    text: str
    value: float
    depth: int


def expressions(seed: int, level: int) -> list[Expression]:
    """The expressions of a task; no two splits have them in common."""
    depth, count = _SHAPES[level]
    return draw(
        f"calculator {level}",
        seed,
        lambda rng: [_expression(rng, depth) for _ in range(count)],
        lambda made: "\n".join(one.text for one in made),
    )


def _expression(rng: Random, depth: int) -> Expression:
    while True:
        try:
            text, value = _draw(rng, depth)
        except (ArithmeticError, ValueError):
            continue
        if not isinstance(value, complex) and math.isfinite(value) and 1e-4 < abs(value) < 1e12:
            return Expression(text, value, depth)


def _draw(rng: Random, depth: int) -> tuple[str, float]:
    """An expression of exactly this depth; its values are computed as the tools compute them."""
    if depth == 0:
        if rng.random() < 0.1:
            return "pi()", RULES["pi"]()
        number = rng.randint(2, 12) if rng.random() < 0.7 else rng.randint(15, 95) / 10
        return str(number), float(number)
    if depth < 3 and rng.random() < 0.2:
        name = rng.choice(_ONE)
        text, value = _draw(rng, depth - 1)
        return f"{name}({text})", RULES[name](value)
    name = rng.choice(_TWO)
    first = _draw(rng, depth - 1)
    second = _draw(rng, rng.randint(0, min(depth - 1, 1)))
    if name in ("power", "log"):  # a deep exponent or base leaves the numbers that can be shown
        number = rng.randint(2, 4)
        second = str(number), float(number)
    elif name in ("add", "multiply") and rng.random() < 0.5:
        first, second = second, first
    found = RULES[name](first[1], second[1])
    if isinstance(found, complex) or not abs(found) < 1e12:
        raise ValueError("out of range")
    return f"{name}({first[0]}, {second[0]})", found


_PARAMETERS = {"log": ("a", "base"), "sin": ("radians",), "cos": ("radians",), "pi": ()}


def steps(text: str) -> list[ToolUse]:
    """The calls of the calculator that compute an expression, from the inside out."""
    made: list[ToolUse] = []

    def compute(node: ast.expr) -> float:
        if isinstance(node, ast.Constant):
            return float(str(node.value))
        assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        name = node.func.id
        values = [compute(argument) for argument in node.args]
        names = _PARAMETERS.get(name, ("a", "b"))
        made.append(ToolUse(name, dict(zip(names, values, strict=True))))
        return float(RULES[name](*values))

    compute(ast.parse(text, mode="eval").body)
    return made
