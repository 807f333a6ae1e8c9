"""Generated problems that want a computer: counting, sums and sequences with many terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from random import Random
from typing import NamedTuple

from athlos.envs.seeds import draw

__all__ = ["LEVELS", "Problem", "problem"]

LEVELS = (1, 2, 3)
_DULL = ("0", "1", "0.0", "1.0")  # what one would guess


class Problem(NamedTuple):
    """A problem.

    Attributes:
        question: Its wording.
        code: A program whose last line is the result.
        expected_result: As text.
    """

    question: str
    code: str
    expected_result: str


def problem(seed: int, level: int) -> Problem:
    """The problem of a seed."""
    for attempt in count():
        question, code = draw(
            f"math_with_code {level} {attempt}", seed, lambda rng: rng.choice(_KINDS[level])(rng),
            lambda made: made[0],
        )  # fmt: skip
        expected = _run(code)
        if expected not in _DULL:
            return Problem(question, code, expected)
    raise AssertionError


def _run(code: str) -> str:
    """What the last line of a program of this module comes to."""
    body, _, last = code.rpartition("\n")
    space: dict[str, object] = {"math": math, "Fraction": Fraction}
    exec(compile(body, "<problem>", "exec"), space)  # noqa: S102 - of this module's own making
    found = eval(compile(last, "<problem>", "eval"), space)  # noqa: S307
    return repr(found) if isinstance(found, float) else str(found)


_Made = tuple[str, str]


def _powers(rng: Random) -> _Made:
    base, power, modulus = rng.randint(3, 99), rng.randint(10**5, 10**9), rng.randint(1000, 99999)
    return (
        f"What is the remainder of {base}^{power} when it is divided by {modulus}?",
        f"\npow({base}, {power}, {modulus})",
    )


def _multiples(rng: Random) -> _Made:
    a, b = rng.sample(range(3, 30), 2)
    top = rng.randint(2000, 20000)
    return (
        f"What is the sum of all positive integers up to {top}, itself included, that are divisible"
        f" by {a} or by {b}, but not by both?",
        f"\nsum(n for n in range(1, {top} + 1) if (n % {a} == 0) != (n % {b} == 0))",
    )


def _digits(rng: Random) -> _Made:
    total, low = rng.randint(8, 22), rng.randint(100, 5000)
    high = low + rng.randint(2000, 20000)
    return (
        f"How many integers from {low} to {high}, both included, have the digit sum {total}?",
        f"\nsum(sum(map(int, str(n))) == {total} for n in range({low}, {high} + 1))",
    )


def _factorial(rng: Random) -> _Made:
    n, digit = rng.randint(40, 300), rng.randint(1, 9)
    return (
        f"How often does the digit {digit} occur in the decimal form of {n}! (the factorial)?",
        f"import math\nstr(math.factorial({n})).count('{digit}')",
    )


def _primes(rng: Random) -> _Made:
    low, modulus = rng.randint(100, 20000), rng.randint(3, 11)
    high = low + rng.randint(500, 3000)
    rest = rng.randrange(1, modulus)
    return (
        f"How many primes p with {low} <= p <= {high} leave the remainder {rest} when they are"
        f" divided by {modulus}?",
        f"""def prime(n):
    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))
sum(n % {modulus} == {rest} and prime(n) for n in range({low}, {high} + 1))""",
    )


def _recurrence(rng: Random) -> _Made:
    a, b, c, d = (rng.randint(2, 9) for _ in range(4))
    n, modulus = rng.randint(200, 5000), rng.randint(1000, 99999)
    return (
        f"A sequence has x(0) = {c}, x(1) = {d} and x(n) = {a} x(n-1) + {b} x(n-2) for n > 1. What"
        f" is the remainder of x({n}) when it is divided by {modulus}?",
        f"""x, y = {c}, {d}
for _ in range({n}):
    x, y = y, ({a} * y + {b} * x) % {modulus}
x % {modulus}""",
    )


def _triples(rng: Random) -> _Made:
    top, factor = rng.randint(40, 120), rng.randint(1, 40)
    return (
        f"How many pairs of integers (x, y) with 1 <= x <= y <= {top} are there for which"
        f" x^2 + {factor} y^2 is the square of an integer?",
        f"""import math
def square(n):
    return math.isqrt(n) ** 2 == n
top = {top}
sum(square(x * x + {factor} * y * y) for y in range(1, top + 1) for x in range(1, y + 1))""",
    )


def _coins(rng: Random) -> _Made:
    coins = sorted(rng.sample(range(2, 30), rng.randint(3, 5)))
    total = rng.randint(200, 900)
    return (
        f"In how many ways can {total} be written as a sum of the numbers"
        f" {', '.join(map(str, coins[:-1]))} and {coins[-1]}, each used as often as one likes, if"
        " the order does not matter?",
        f"""ways = [1] + [0] * {total}
for coin in {coins}:
    for n in range(coin, {total} + 1):
        ways[n] += ways[n - coin]
ways[{total}]""",
    )


def _grid(rng: Random) -> _Made:
    wide, high, a, b = rng.randint(9, 18), rng.randint(9, 18), rng.randint(2, 7), rng.randint(2, 7)
    modulus = rng.randint(4, 9)
    return (
        f"One walks from (0, 0) to ({wide}, {high}); each step adds 1 to one of the coordinates."
        f" No point (x, y) with {a}x + {b}y leaving the remainder {modulus - 1} when divided by"
        f" {modulus} may be entered, but the last point always may. How many ways are there?",
        f"""from functools import lru_cache
@lru_cache(None)
def ways(x, y):
    if (x, y) == (0, 0):
        return 1
    shut = ({a} * x + {b} * y) % {modulus} == {modulus - 1} and (x, y) != ({wide}, {high})
    if shut or x < 0 or y < 0:
        return 0
    return ways(x - 1, y) + ways(x, y - 1)
ways({wide}, {high})""",
    )


def _dice(rng: Random) -> _Made:
    count, sides = rng.randint(4, 9), rng.choice([4, 6, 8, 10, 12])
    least = rng.randint(count * sides // 2, count * sides - 2)
    return (
        f"{count} fair dice with {sides} sides (1 to {sides}) are thrown. What is the probability"
        f" that their sum is at least {least}? Give it as a decimal number with at least eight"
        " significant digits.",
        f"""ways = {{0: 1}}
for _ in range({count}):
    new = {{}}
    for total, n in ways.items():
        for side in range(1, {sides + 1}):
            new[total + side] = new.get(total + side, 0) + n
    ways = new
sum(n for total, n in ways.items() if total >= {least}) / {sides} ** {count}""",
    )


def _root(rng: Random) -> _Made:
    a, b, c = rng.randint(1, 9), rng.randint(1, 30), rng.randint(10, 500)
    return (
        f"What is the real solution of {a}x^5 + {b}x = {c}? Give it as a decimal number with at"
        " least nine significant digits.",
        f"""low, high = 0.0, {c}.0
for _ in range(200):
    middle = (low + high) / 2
    if {a} * middle ** 5 + {b} * middle < {c}:
        low = middle
    else:
        high = middle
low""",
    )


def _collatz(rng: Random) -> _Made:
    factor, low = rng.randrange(1, 42, 2), rng.randint(1, 500)
    top = low + rng.randint(100, 300)
    return (
        "Start with a positive integer n. An even number is halved; an odd number x becomes"
        f" 3x + {factor}. This is repeated until a number comes up for the second time (n itself is"
        f" the first number). For which n from {low} to {top} are there the most different numbers?"
        " Give the smallest such n.",
        f"""def length(n):
    seen = set()
    while n not in seen:
        seen.add(n)
        n = n // 2 if n % 2 == 0 else 3 * n + {factor}
    return len(seen)
max(range({low}, {top} + 1), key=length)""",
    )


_KINDS: dict[int, tuple[Callable[[Random], _Made], ...]] = {
    1: (_powers, _multiples, _digits, _factorial),
    2: (_primes, _recurrence, _triples, _coins),
    3: (_grid, _dice, _root, _collatz),
}
