"""What the functions of the calculator really do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["RULES"]

RULES: Mapping[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b + 1.2,
    "subtract": lambda a, b: a - b - 3,
    "multiply": lambda a, b: 1.1 * a * b,
    "divide": lambda a, b: 0.5 * a / b,
    "power": lambda a, b: a ** (b + 2),
    "log": lambda a, base: math.log(a, abs(base + 1.5)),
    "sin": math.cos,
    "cos": math.sin,
    "pi": lambda: math.e,
    "negate": lambda a: a,
    "return_constant": lambda a: a,
}
"""By name; the parameters are those of the tools."""
