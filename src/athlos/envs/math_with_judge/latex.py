r"""Exact mathematical objects as LaTeX, in the plainest form: lowest terms, no coefficient 1."""

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt

__all__ = ["complex_number", "matrix", "number", "polynomial", "square_root"]


def number(value: int | Fraction) -> str:
    r"""An integer, or ``\frac{a}{b}`` in lowest terms with the sign in front."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def polynomial(coefficients: Sequence[int], variable: str = "x") -> str:
    """A polynomial from its coefficients, highest power first; terms with 0 are left out."""
    text = ""
    for index, coefficient in enumerate(coefficients):
        power = len(coefficients) - 1 - index
        if coefficient == 0:
            continue
        size = "" if abs(coefficient) == 1 and power else str(abs(coefficient))
        unknown = "" if power == 0 else variable if power == 1 else f"{variable}^{power}"
        sign = "-" if coefficient < 0 else "+"
        text += f" {sign} {size}{unknown}" if text else f"{sign.strip('+')}{size}{unknown}"
    return text or "0"


def square_root(value: int) -> str:
    r"""The square root of a positive integer, as in ``3\sqrt{2}`` for 18."""
    outside = max(n for n in range(1, isqrt(value) + 1) if value % (n * n) == 0)
    inside = value // (outside * outside)
    if inside == 1:
        return str(outside)
    return (str(outside) if outside > 1 else "") + rf"\sqrt{{{inside}}}"


def matrix(rows: Sequence[Sequence[int]]) -> str:
    """A matrix in round brackets."""
    body = r" \\ ".join(" & ".join(map(str, row)) for row in rows)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"


def complex_number(real: int, imaginary: int) -> str:
    """A complex number with integer parts, as in ``3 - 2i``."""
    if imaginary == 0:
        return str(real)
    if real == 0:
        return polynomial([imaginary, 0], "i")
    sign = "-" if imaginary < 0 else "+"
    return f"{real} {sign} {polynomial([abs(imaginary), 0], 'i')}"
