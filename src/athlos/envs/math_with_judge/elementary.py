"""Families of problems at the levels 1 to 3, from single-digit sums to fractions and equations.

A family is a function from a random generator to a question and its exact answer. What is to be
worked out is said in words: a formula of the question that equals the answer would score, repeated.
"""

from collections.abc import Callable
from fractions import Fraction
from math import gcd, lcm
from random import Random

from athlos.envs.math_with_judge import latex

__all__ = ["LEVEL_1", "LEVEL_2", "LEVEL_3"]

Family = Callable[[Random], tuple[str, str]]

_NAMES = ["Amara", "Bela", "Chidi", "Dora", "Emre", "Freya", "Goran", "Hana", "Idris", "Kofi"]
_THINGS = ["apples", "marbles", "pencils", "stamps", "shells", "buttons", "candles", "tickets"]


def _name(rng: Random) -> str:
    return rng.choice(_NAMES)


def _two_names(rng: Random) -> list[str]:
    return rng.sample(_NAMES, 2)


# Level 1: one step, single-digit numbers.


def _addition(rng: Random) -> tuple[str, str]:
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    ask = rng.choice(["What is {} plus {}?", "Add {} and {}.", "Find the sum of {} and {}."])
    return ask.format(a, b), str(a + b)


def _subtraction(rng: Random) -> tuple[str, str]:
    b = rng.randint(1, 9)
    rest = rng.choice([n for n in range(10) if n != b])
    ask = rng.choice(["What is {} minus {}?", "Start at {} and count back {}. Where do you end?"])
    return ask.format(b + rest, b), str(rest)


def _times_table(rng: Random) -> tuple[str, str]:
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    ask = rng.choice(
        ["What is the product of {} and {}?", "Multiply {} by {}.", "How much is {} times {}?"]
    )
    return ask.format(a, b), str(a * b)


def _missing_number(rng: Random) -> tuple[str, str]:
    a, missing = rng.randint(1, 9), rng.randint(1, 9)
    ask = rng.choice(
        ["To {} I add a number and get {}. Which number?", "How far is it from {} to {}?"]
    )
    return ask.format(a, a + missing), str(missing)


def _story(rng: Random) -> tuple[str, str]:
    name, thing = _name(rng), rng.choice(_THINGS)
    a, b = rng.sample(range(2, 10), 2)
    if rng.random() < 0.5:
        return f"{name} has {a} {thing} and finds {b} more. How many {thing} is that?", str(a + b)
    total = a + b
    return f"{name} has {total} {thing} and gives away {a}. How many {thing} are left?", str(b)


def _next_number(rng: Random) -> tuple[str, str]:
    start, step = rng.randint(1, 9), rng.randint(1, 5)
    shown = [start + step * k for k in range(4)]
    ask = rng.choice(["Which number comes next: {}?", "Continue the pattern by one number: {}."])
    return ask.format(", ".join(map(str, shown))), str(start + 4 * step)


def _largest(rng: Random) -> tuple[str, str]:
    numbers = rng.sample(range(4, 20), 3)
    word, answer = rng.choice([("largest", max(numbers)), ("smallest", min(numbers))])
    shown = f"{numbers[0]}, {numbers[1]} and {numbers[2]}"
    return f"Which of the numbers {shown} is the {word} of all 3?", str(answer)


# Level 2: two steps, larger numbers.


def _large_numbers(rng: Random) -> tuple[str, str]:
    a, b = rng.randint(100, 999), rng.randint(100, 999)
    if rng.random() < 0.5:
        return f"Compute {a} plus {b}.", str(a + b)
    return f"Compute {a} minus {b}.", str(a - b)


def _order_of_operations(rng: Random) -> tuple[str, str]:
    a, b, c, d = (rng.randint(2, 12) for _ in range(4))
    if rng.random() < 0.5:
        text = f"Add {a} to the product of {b} and {c}, and take away {d}. What is left?"
        return text, str(a + b * c - d)
    text = f"Multiply the sum of {a} and {b} by the difference {c} minus {d}. What is the result?"
    return text, str((a + b) * (c - d))


def _remainder(rng: Random) -> tuple[str, str]:
    thing, size, boxes = rng.choice(_THINGS), rng.randint(3, 12), rng.randint(5, 20)
    rest = rng.randint(0, size - 1)
    return (
        f"{size * boxes + rest} {thing} are packed into bags of {size}, as many full bags as "
        f"possible. How many {thing} remain?",
        str(rest),
    )


def _fraction_of(rng: Random) -> tuple[str, str]:
    denominator, unit = rng.randint(3, 9), rng.randint(2, 15)
    numerator = rng.randint(2, denominator - 1)
    return (
        rf"What is $\frac{{{numerator}}}{{{denominator}}}$ of {denominator * unit}?",
        str(numerator * unit),
    )


def _percentage_of(rng: Random) -> tuple[str, str]:
    percent, amount = rng.choice([5, 10, 15, 20, 25, 30, 40, 60, 75, 80]), 20 * rng.randint(2, 40)
    answer = str(percent * amount // 100)
    if rng.random() < 0.5:
        return f"What is {percent} percent of {amount}?", answer
    return f"A hall has {amount} seats. How many is {percent} percent of all {amount}?", answer


def _rectangle(rng: Random) -> tuple[str, str]:
    a, b = rng.randint(3, 30), rng.randint(3, 30)
    text = f"A rectangular garden is {a} metres long and {b} metres wide."
    if rng.random() < 0.5:
        return f"{text} How many metres of fence go around it?", str(2 * (a + b))
    return f"{text} How many square metres does it cover?", str(a * b)


def _minutes_between(rng: Random) -> tuple[str, str]:
    start, minutes = rng.randint(6 * 60, 15 * 60), rng.randint(25, 300)
    end = start + minutes
    return (
        f"A train leaves at {start // 60:02}:{start % 60:02} and arrives at "
        f"{end // 60:02}:{end % 60:02} on the same day. How many minutes does the journey take?",
        str(minutes),
    )


def _mean(rng: Random) -> tuple[str, str]:
    numbers = [rng.randint(1, 30) for _ in range(rng.randint(3, 5))]
    return (
        f"What is the mean of the numbers {', '.join(map(str, numbers))}?",
        latex.number(Fraction(sum(numbers), len(numbers))),
    )


def _change(rng: Random) -> tuple[str, str]:
    name, thing = _name(rng), rng.choice(_THINGS)
    count, price = rng.randint(2, 9), rng.randint(2, 12)
    paid = (count * price // 50 + 1) * 50
    return (
        f"{name} buys {count} {thing} at {price} crowns each and pays with {paid} crowns. "
        "How many crowns come back?",
        str(paid - count * price),
    )


def _two_step_story(rng: Random) -> tuple[str, str]:
    first, second = _two_names(rng)
    thing, boxes, each = rng.choice(_THINGS), rng.randint(3, 9), rng.randint(4, 12)
    lost = rng.randint(2, boxes * each - 1)
    return (
        f"{first} fills {boxes} boxes with {each} {thing} each and lets {second} take {lost} of "
        f"them. How many {thing} stay in the boxes?",
        str(boxes * each - lost),
    )


# Level 3: fractions, linear equations, ratios, divisibility.


def _fraction_sum(rng: Random) -> tuple[str, str]:
    a, b = (Fraction(rng.randint(1, d - 1), d) for d in rng.sample(range(2, 13), 2))
    if rng.choice("+-") == "+":
        ask, result = "Add ${}$ and ${}$, and reduce the result.", a + b
    else:
        ask, result = "From ${}$ take away ${}$, and reduce the result.", a - b
    return ask.format(latex.number(a), latex.number(b)), latex.number(result)


def _fraction_quotient(rng: Random) -> tuple[str, str]:
    a, b = (Fraction(*rng.sample(range(1, 10), 2)) for _ in range(2))
    if rng.random() < 0.5:
        return f"Multiply ${latex.number(a)}$ by ${latex.number(b)}$.", latex.number(a * b)
    return f"Divide ${latex.number(a)}$ by ${latex.number(b)}$.", latex.number(a / b)


def _linear_equation(rng: Random) -> tuple[str, str]:
    a, c = rng.sample([n for n in range(-9, 10) if n], 2)
    b, d = rng.randint(-15, 15), rng.randint(-15, 15)
    ask = rng.choice(["Solve ${} = {}$ for $x$.", "For which $x$ is ${} = {}$?"])
    answer = Fraction(d - b, a - c)
    return ask.format(latex.polynomial([a, b]), latex.polynomial([c, d])), latex.number(answer)


def _price_before(rng: Random) -> tuple[str, str]:
    percent, before = rng.choice([10, 20, 25, 40, 50]), 20 * rng.randint(2, 50)
    if rng.random() < 0.5:
        after = before * (100 - percent) // 100
        text = f"After a discount of {percent} percent a coat costs {after} crowns."
    else:
        after = before * (100 + percent) // 100
        text = f"After a rise of {percent} percent a coat costs {after} crowns."
    return f"{text} How many crowns did it cost before?", str(before)


def _greatest_divisor(rng: Random) -> tuple[str, str]:
    common, (a, b) = rng.randint(2, 15), rng.sample(range(2, 20), 2)
    numbers = common * a, common * b
    ask = rng.choice(
        [
            "What is the greatest common divisor of {} and {}?",
            "Which largest number divides {} and {}?",
        ]
    )
    return ask.format(*numbers), str(gcd(*numbers))


def _least_multiple(rng: Random) -> tuple[str, str]:
    a, b = rng.sample(range(4, 40), 2)
    ask = rng.choice(
        [
            "What is the least common multiple of {} and {}?",
            "Two bells ring together now, then every {} and every {} seconds. "
            "After how many seconds do they first ring together again?",
        ]
    )
    return ask.format(a, b), str(lcm(a, b))


def _ratio(rng: Random) -> tuple[str, str]:
    (a, b), unit = rng.sample(range(1, 10), 2), rng.randint(3, 30)
    first, second = _two_names(rng)
    return (
        f"{first} and {second} share {(a + b) * unit} crowns in the ratio {a} to {b}. "
        f"How many crowns does {second} get?",
        str(b * unit),
    )


def _mean_speed(rng: Random) -> tuple[str, str]:
    v, w = rng.sample(range(10, 100, 5), 2)
    h, k = rng.randint(2, 6), rng.randint(2, 6)
    return (
        f"{_name(rng)} drives {h} hours at {v} km/h, then {k} hours at {w} km/h. "
        "What is the mean speed of the whole trip in km/h?",
        latex.number(Fraction(h * v + k * w, h + k)),
    )


def _right_triangle(rng: Random) -> tuple[str, str]:
    a, b = rng.randint(2, 15), rng.randint(2, 15)
    return (
        f"The two shorter sides of a right triangle are {a} and {b} long. "
        "How long is the hypotenuse, exactly?",
        latex.square_root(a * a + b * b),
    )


def _circle(rng: Random) -> tuple[str, str]:
    radius = rng.randint(2, 20)
    if rng.random() < 0.5:
        return (
            rf"Give the area of a circle of radius {radius}, in terms of $\pi$.",
            rf"{radius**2}\pi",
        )
    return (
        rf"Give the perimeter of a circle of radius {radius}, in terms of $\pi$.",
        rf"{2 * radius}\pi",
    )


def _powers(rng: Random) -> tuple[str, str]:
    base, a, b = rng.choice([2, 3, 5, 10]), rng.randint(4, 9), rng.randint(4, 9)
    c = a + b - rng.randint(-2, 4)
    return (
        f"Divide the product of ${base}^{{{a}}}$ and ${base}^{{{b}}}$ by ${base}^{{{c}}}$. "
        "Which number is that?",
        latex.number(Fraction(base) ** (a + b - c)),
    )


def _ages(rng: Random) -> tuple[str, str]:
    young, older = _two_names(rng)
    age, factor, years = rng.randint(3, 15), rng.randint(2, 5), rng.randint(2, 12)
    return (
        f"{older} is {factor} times as old as {young}. In {years} years their ages will add up to "
        f"{age * (factor + 1) + 2 * years}. How old is {young} now?",
        str(age),
    )


LEVEL_1: tuple[Family, ...] = (
    _addition,
    _subtraction,
    _times_table,
    _missing_number,
    _story,
    _next_number,
    _largest,
)

LEVEL_2: tuple[Family, ...] = (
    _large_numbers,
    _order_of_operations,
    _remainder,
    _fraction_of,
    _percentage_of,
    _rectangle,
    _minutes_between,
    _mean,
    _change,
    _two_step_story,
)

LEVEL_3: tuple[Family, ...] = (
    _fraction_sum,
    _fraction_quotient,
    _linear_equation,
    _price_before,
    _greatest_divisor,
    _least_multiple,
    _ratio,
    _mean_speed,
    _right_triangle,
    _circle,
    _powers,
    _ages,
)
