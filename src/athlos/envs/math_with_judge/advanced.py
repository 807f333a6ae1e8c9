"""Families of problems at the levels 4 and 5, from linear systems to matrices and number theory.

A family is a function from a random generator to a question and its exact answer.
"""

from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial, gcd, lcm, perm, prod
from random import Random

from athlos.envs.math_with_judge import latex

__all__ = ["LEVEL_4", "LEVEL_5"]

Family = Callable[[Random], tuple[str, str]]


def _nonzero(rng: Random, size: int) -> int:
    return rng.choice([n for n in range(-size, size + 1) if n])


# Level 4: systems, quadratics, counting, probability, series.


def _linear_system(rng: Random) -> tuple[str, str]:
    x, y = Fraction(rng.randint(-9, 9), rng.randint(1, 3)), Fraction(rng.randint(-9, 9))
    while True:
        a, b, c, d = (_nonzero(rng, 6) * x.denominator for _ in range(4))
        if a * d != b * c:
            break
    rows = []
    for p, q in ((a, b), (c, d)):
        sign, second = "-" if q < 0 else "+", latex.polynomial([abs(q), 0], "y")
        rows.append(f"${latex.polynomial([p, 0])} {sign} {second} = {p * x + q * y}$")
    return f"Given {rows[0]} and {rows[1]}, find $x + y$.", latex.number(x + y)


def _quadratic_roots(rng: Random) -> tuple[str, str]:
    r, s = sorted(rng.sample(range(-12, 13), 2))
    a = rng.choice([1, 1, 2, 3])
    return (
        f"Find both solutions of ${latex.polynomial([a, -a * (r + s), a * r * s])} = 0$. "
        "Separate them by a comma.",
        f"{r}, {s}",
    )


def _larger_root(rng: Random) -> tuple[str, str]:
    a, p, q = rng.randint(2, 5), rng.randint(-7, 7), rng.randint(-7, 7)
    first, second = Fraction(p, a), Fraction(q)
    equation = latex.polynomial([a, -p - a * q, p * q])
    return f"What is the greatest real solution of ${equation} = 0$?", latex.number(
        max(first, second)
    )


def _power_remainder(rng: Random) -> tuple[str, str]:
    base, exponent, modulus = rng.randint(2, 20), rng.randint(20, 200), rng.randint(5, 40)
    return (
        f"What is the remainder when ${base}^{{{exponent}}}$ is divided by {modulus}?",
        str(pow(base, exponent, modulus)),
    )


def _committees(rng: Random) -> tuple[str, str]:
    women, men = rng.randint(4, 9), rng.randint(4, 9)
    w, m = rng.randint(2, 4), rng.randint(2, 4)
    return (
        f"A club has {women} women and {men} men. In how many ways can a committee of exactly "
        f"{w} women and {m} men be chosen?",
        str(comb(women, w) * comb(men, m)),
    )


def _podium(rng: Random) -> tuple[str, str]:
    runners, places = rng.randint(5, 12), rng.randint(2, 4)
    return (
        f"{runners} runners start in a race without ties. "
        f"In how many ways can the first {places} places be taken?",
        str(perm(runners, places)),
    )


def _arrangements(rng: Random) -> tuple[str, str]:
    word = rng.choice(["BANANA", "PEPPER", "LEVEL", "COFFEE", "BALLOON", "TOMATO", "RABBIT"])
    repeats = prod(factorial(word.count(letter)) for letter in set(word))
    return (
        f"How many different strings are there that use all letters of {word} exactly as often as "
        "the word does?",
        str(factorial(len(word)) // repeats),
    )


def _two_draws(rng: Random) -> tuple[str, str]:
    red, blue = rng.randint(2, 12), rng.randint(2, 12)
    total = red + blue
    text = f"An urn holds {red} red and {blue} blue balls. Two are drawn without putting any back."
    if rng.random() < 0.5:
        both = Fraction(red * (red - 1), total * (total - 1))
        return f"{text} What is the probability that both are red?", latex.number(both)
    mixed = Fraction(2 * red * blue, total * (total - 1))
    return f"{text} What is the probability that their colours differ?", latex.number(mixed)


def _arithmetic_series(rng: Random) -> tuple[str, str]:
    start, step, count = rng.randint(-10, 20), rng.randint(2, 9), rng.randint(15, 60)
    return (
        f"The first term of an arithmetic sequence is {start} and its common difference is {step}. "
        f"What is the sum of its first {count} terms?",
        str(count * (2 * start + (count - 1) * step) // 2),
    )


def _geometric_series(rng: Random) -> tuple[str, str]:
    start, ratio, count = rng.randint(1, 9), rng.choice([2, 3, -2, -3]), rng.randint(4, 9)
    return (
        f"The first term of a geometric sequence is {start} and its common ratio is {ratio}. "
        f"What is the sum of its first {count} terms?",
        str(start * (ratio**count - 1) // (ratio - 1)),
    )


def _exponential_equation(rng: Random) -> tuple[str, str]:
    base, a, k = rng.choice([2, 3, 5]), rng.randint(2, 7), rng.randint(2, 4)
    b, c = rng.randint(-6, 6), rng.choice([n for n in range(-6, 7) if n])
    exponent = latex.polynomial([a, b])
    right = latex.polynomial([1, c])
    if a == k:
        a, exponent = a + 1, latex.polynomial([a + 1, b])
    return (
        f"Find the real number $x$ with ${base}^{{{exponent}}} = {base**k}^{{{right}}}$.",
        latex.number(Fraction(k * c - b, a - k)),
    )


def _logarithm(rng: Random) -> tuple[str, str]:
    root, a, b = rng.choice([2, 3, 5]), rng.randint(2, 4), rng.randint(2, 7)
    return f"To which power must {root**a} be raised to get {root**b}?", latex.number(
        Fraction(b, a)
    )


def _slope(rng: Random) -> tuple[str, str]:
    coefficients = [_nonzero(rng, 5), *(rng.randint(-8, 8) for _ in range(3))]
    at = rng.randint(-4, 4)
    a, b, c, _ = coefficients
    return (
        f"Let $f(x) = {latex.polynomial(coefficients)}$. What is $f'({at})$?",
        str(3 * a * at * at + 2 * b * at + c),
    )


def _binomial_coefficient(rng: Random) -> tuple[str, str]:
    a, b, n = rng.randint(1, 4), _nonzero(rng, 4), rng.randint(4, 8)
    k = rng.randint(1, n - 1)
    return (
        f"Expand $({latex.polynomial([a, b])})^{n}$. What is the coefficient of $x^{k}$?",
        str(comb(n, k) * a**k * b ** (n - k)),
    )


def _joint_work(rng: Random) -> tuple[str, str]:
    a, b = rng.sample(range(2, 13), 2)
    return (
        f"One painter needs {a} hours for a room, another one {b} hours. "
        "How many hours do they need together?",
        latex.number(Fraction(a * b, a + b)),
    )


def _distance(rng: Random) -> tuple[str, str]:
    x, y, dx, dy = (_nonzero(rng, 9) for _ in range(4))
    return (
        f"How far apart are the points $({x}, {y})$ and $({x + dx}, {y + dy})$? Answer exactly.",
        latex.square_root(dx * dx + dy * dy),
    )


# Level 5: intervals, matrices, limits, integrals, number theory.


def _inequality(rng: Random) -> tuple[str, str]:
    r, s = sorted(rng.sample(range(-9, 10), 2))
    left = latex.polynomial([1, -r - s, r * s])
    sign, interval = rng.choice([("<", f"({r}, {s})"), (r"\le", f"[{r}, {s}]")])
    return f"For which real $x$ is ${left} {sign} 0$? Answer with an interval.", interval


def _determinant(rng: Random) -> tuple[str, str]:
    rows = [[rng.randint(-5, 5) for _ in range(3)] for _ in range(3)]
    (a, b, c), (d, e, f), (g, h, i) = rows
    value = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return f"Find the determinant of ${latex.matrix(rows)}$.", str(value)


def _matrix_product(rng: Random) -> tuple[str, str]:
    first, second = ([[rng.randint(-5, 5) for _ in range(2)] for _ in range(2)] for _ in range(2))
    result = [
        [sum(first[i][k] * second[k][j] for k in range(2)) for j in range(2)] for i in range(2)
    ]
    return (
        f"Find the product of the matrices ${latex.matrix(first)}$ and ${latex.matrix(second)}$, "
        "in this order.",
        latex.matrix(result),
    )


def _infinite_series(rng: Random) -> tuple[str, str]:
    a, denominator = rng.randint(1, 9), rng.randint(2, 9)
    numerator = rng.choice(
        [n for n in range(-denominator + 1, denominator) if gcd(n, denominator) == 1]
    )
    ratio = Fraction(numerator, denominator)
    term = rf"{a} \left({latex.number(ratio)}\right)^n"
    return (
        rf"A series has the terms $a_n = {term}$ for $n = 0, 1, 2, \ldots$ What is its sum?",
        latex.number(a / (1 - ratio)),
    )


def _telescoping_sum(rng: Random) -> tuple[str, str]:
    count, gap = rng.randint(8, 60), rng.randint(1, 3)
    value = sum(Fraction(1, n * (n + gap)) for n in range(1, count + 1))
    return (
        rf"Add up $\frac{{1}}{{n(n+{gap})}}$ for all whole numbers $n$ from 1 to {count}. "
        "Give the sum as a fraction.",
        latex.number(value),
    )


def _derivative(rng: Random) -> tuple[str, str]:
    a, b, c, d = _nonzero(rng, 6), rng.randint(-6, 6), _nonzero(rng, 6), rng.randint(-6, 6)
    first, second = latex.polynomial([a, 0, b]), latex.polynomial([c, d])
    return (
        f"Differentiate $({first})({second})$ with respect to $x$ and expand.",
        latex.polynomial([3 * a * c, 2 * a * d, b * c]),
    )


def _integral(rng: Random) -> tuple[str, str]:
    a, b, c = _nonzero(rng, 6), rng.randint(-6, 6), rng.randint(-6, 6)
    low = rng.randint(-3, 2)
    high = low + rng.randint(1, 4)
    value = (
        Fraction(a * (high**3 - low**3), 3) + Fraction(b * (high**2 - low**2), 2) + c * (high - low)
    )
    return (
        f"Integrate ${latex.polynomial([a, b, c])}$ over $x$ from ${low}$ to ${high}$.",
        latex.number(value),
    )


def _two_remainders(rng: Random) -> tuple[str, str]:
    m, n = rng.choice([(5, 7), (7, 9), (8, 11), (9, 13), (11, 15), (12, 17), (13, 21), (16, 25)])
    number = rng.randint(1, m * n - 1)
    return (
        f"What is the smallest non-negative integer that leaves remainder {number % m} on division "
        f"by {m} and remainder {number % n} on division by {n}?",
        str(number),
    )


def _inclusion_exclusion(rng: Random) -> tuple[str, str]:
    limit, (a, b) = rng.randint(200, 2000), rng.sample(range(3, 16), 2)
    return (
        f"How many of the integers from 1 to {limit} are divisible by {a} or by {b}?",
        str(limit // a + limit // b - limit // lcm(a, b)),
    )


def _complex_product(rng: Random) -> tuple[str, str]:
    a, b, c, d = (_nonzero(rng, 7) for _ in range(4))
    first, second = latex.complex_number(a, b), latex.complex_number(c, d)
    part, answer = rng.choice([("real", a * c - b * d), ("imaginary", a * d + b * c)])
    return (
        f"Multiply the complex numbers ${first}$ and ${second}$. "
        f"What is the {part} part of the product?",
        str(answer),
    )


def _divisors(rng: Random) -> tuple[str, str]:
    powers = {p: rng.randint(1, 4) for p in rng.sample([2, 3, 5, 7], 3)}
    number = prod(p**k for p, k in powers.items())
    return (
        f"How many positive divisors does {number} have?",
        str(prod(k + 1 for k in powers.values())),
    )


def _coprime_count(rng: Random) -> tuple[str, str]:
    powers = {p: rng.randint(1, 3) for p in rng.sample([2, 3, 5, 7, 11], 2)}
    number = prod(p**k for p, k in powers.items())
    return (
        f"How many of the integers from 1 to {number} have no common factor with {number} but 1?",
        str(prod((p - 1) * p ** (k - 1) for p, k in powers.items())),
    )


def _faulty_parts(rng: Random) -> tuple[str, str]:
    share, p, q = rng.randint(10, 90), rng.randint(1, 12), rng.randint(1, 12)
    first, second = share * p, (100 - share) * q
    return (
        f"Machine A makes {share} percent of all parts, machine B the rest. Of the parts from A "
        f"{p} percent are faulty, of those from B {q} percent. A part is faulty. "
        "What is the probability that A made it?",
        latex.number(Fraction(first, first + second)),
    )


def _recurrence(rng: Random) -> tuple[str, str]:
    p, q = rng.randint(1, 4), _nonzero(rng, 3)
    start, second, n = rng.randint(0, 4), rng.randint(1, 5), rng.randint(6, 10)
    terms = [start, second]
    while len(terms) <= n:
        terms.append(p * terms[-1] + q * terms[-2])
    last = latex.polynomial([p, 0], "a_{n-1}")
    before = latex.polynomial([abs(q), 0], "a_{n-2}")
    return (
        f"A sequence has $a_0 = {start}$, $a_1 = {second}$ and "
        f"$a_n = {last} {'-' if q < 0 else '+'} {before}$ for $n > 1$. "
        f"What is $a_{{{n}}}$?",
        str(terms[n]),
    )


def _trailing_zeros(rng: Random) -> tuple[str, str]:
    n = rng.randint(30, 900)
    return f"With how many zeros does the decimal form of ${n}!$ end?", str(
        sum(n // 5**k for k in range(1, 5))
    )


def _triangle_area(rng: Random) -> tuple[str, str]:
    x, y, z, w = (rng.randint(-9, 9) for _ in range(4))
    dx, dy = _nonzero(rng, 9), _nonzero(rng, 9)
    double = abs(dx * (w - y) - dy * (z - x))
    return (
        f"What is the area of the triangle with corners $({x}, {y})$, $({x + dx}, {y + dy})$ and "
        f"$({z}, {w})$? (It is 0 if they are on one line.)",
        latex.number(Fraction(double, 2)),
    )


def _squares_of_roots(rng: Random) -> tuple[str, str]:
    a, b, c = rng.randint(1, 5), _nonzero(rng, 9), _nonzero(rng, 9)
    return (
        f"The equation ${latex.polynomial([a, b, c])} = 0$ has the complex solutions $r$ and $s$, "
        "which may be equal. What is $r^2 + s^2$?",
        latex.number(Fraction(b * b - 2 * a * c, a * a)),
    )


LEVEL_4: tuple[Family, ...] = (
    _linear_system,
    _quadratic_roots,
    _larger_root,
    _power_remainder,
    _committees,
    _podium,
    _arrangements,
    _two_draws,
    _arithmetic_series,
    _geometric_series,
    _exponential_equation,
    _logarithm,
    _slope,
    _binomial_coefficient,
    _joint_work,
    _distance,
)

LEVEL_5: tuple[Family, ...] = (
    _inequality,
    _determinant,
    _matrix_product,
    _infinite_series,
    _telescoping_sum,
    _derivative,
    _integral,
    _two_remainders,
    _inclusion_exclusion,
    _complex_product,
    _divisors,
    _coprime_count,
    _faulty_parts,
    _recurrence,
    _trailing_zeros,
    _triangle_area,
    _squares_of_roots,
)
