"""Programming problems that are a list of steps: on numbers, or on the characters of a text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

__all__ = ["Draft", "numbers", "text"]


class Draft(NamedTuple):
    """A problem without its tests.

    Attributes:
        about: What is to be computed, of what.
        kinds: Of the parameters: "int", "ints", "str", "pairs" or "rows".
        source: A function `solve` that does it.
        make: Draws arguments.
    """

    about: str
    kinds: tuple[tuple[str, str], ...]
    source: str
    make: Callable[[Random], list[object]]


Step = tuple[str, str]


def _number_steps(rng: Random) -> list[Step]:
    k, shift, factor = rng.randint(2, 9), rng.randint(1, 50), rng.randint(2, 12)
    bound, turn, most = rng.randint(-40, 60), rng.randint(1, 6), rng.randint(3, 9)
    keep = rng.randrange(k)
    return [
        (f"keep only the numbers whose remainder modulo {k} is {keep} (remainders are never"
         " negative)", f"a = [x for x in a if x % {k} == {keep}]"),
        (f"remove the numbers that are divisible by {k}", f"a = [x for x in a if x % {k} != 0]"),
        (f"keep only the numbers greater than {bound}", f"a = [x for x in a if x > {bound}]"),
        (f"replace every number below {bound} by {bound}", f"a = [max(x, {bound}) for x in a]"),
        (f"add {shift} to every number", f"a = [x + {shift} for x in a]"),
        (f"multiply every number by {factor}", f"a = [x * {factor} for x in a]"),
        ("replace every number by the sum of the digits of its absolute value",
         "a = [sum(map(int, str(abs(x)))) for x in a]"),
        (f"replace every number x by |x - {shift}|", f"a = [abs(x - {shift}) for x in a]"),
        ("replace every number by how many ones the binary form of its absolute value has",
         "a = [bin(x).count('1') for x in a]"),
        (f"add to every number its position, counted from {turn}",
         f"a = [x + i for i, x in enumerate(a, {turn})]"),
        ("remove every number that occurred before", "a = list(dict.fromkeys(a))"),
        ("reverse the order", "a = a[::-1]"),
        ("sort in ascending order", "a = sorted(a)"),
        ("sort in descending order", "a = sorted(a, reverse=True)"),
        (f"sort by the remainder modulo {k} (never negative), equal ones in ascending order",
         f"a = sorted(a, key=lambda x: (x % {k}, x))"),
        ("move all even numbers before all odd ones; each group keeps its order",
         "a = [x for x in a if x % 2 == 0] + [x for x in a if x % 2]"),
        (f"move the first number to the end, {turn} times (an empty list stays empty)",
         f"a = a[{turn} % len(a):] + a[:{turn} % len(a)] if a else a"),
        ("replace every number by the sum of it and all numbers before it",
         "a = [sum(a[:i + 1]) for i in range(len(a))]"),
        ("replace every number by the largest of it and all numbers before it",
         "a = [max(a[:i + 1]) for i in range(len(a))]"),
        ("replace the list by the differences of neighbours, each number minus the one before it",
         "a = [y - x for x, y in zip(a, a[1:])]"),
        (f"keep only every {k}. number: the {k}., the {2 * k}. and so on",
         f"a = a[{k - 1}::{k}]"),
        (f"keep at most the first {most} numbers", f"a = a[:{most}]"),
        (f"keep at most the last {most} numbers", f"a = a[-{most}:]"),
    ]  # fmt: skip


def _number_ends(rng: Random) -> list[Step]:
    k, default = rng.randint(2, 9), rng.randint(-9, 0)
    return [
        ("the sum of the numbers (0 if there are none)", "return sum(a)"),
        (f"the largest number ({default} if there are none)", f"return max(a, default={default})"),
        (f"the smallest number ({default} if there are none)", f"return min(a, default={default})"),
        ("how many different numbers there are", "return len(set(a))"),
        ("the list", "return a"),
        (f"how many numbers are divisible by {k}", f"return sum(x % {k} == 0 for x in a)"),
        (f"the sum of the numbers times their positions, counted from {k}",
         f"return sum(i * x for i, x in enumerate(a, {k}))"),
        ("the sum of the products of neighbours (0 if there are none)",
         "return sum(x * y for x, y in zip(a, a[1:]))"),
        ("the length of the longest run of equal neighbours (0 for an empty list)",
         "best = run = 0\nfor i, x in enumerate(a):\n"
         "    run = run + 1 if i and a[i - 1] == x else 1\n    best = max(best, run)\nreturn best"),
    ]  # fmt: skip


def _text_steps(rng: Random) -> list[Step]:
    k, turn = rng.randint(2, 5), rng.randint(1, 25)
    one, other = rng.sample("abcdeiorst", 2)
    return [
        ("reverse the text", "s = s[::-1]"),
        (f"remove every '{one}'", f"s = s.replace('{one}', '')"),
        (f"replace every '{one}' by '{other}{other}'", f"s = s.replace('{one}', '{other * 2}')"),
        ("remove the vowels (a, e, i, o, u)", "s = ''.join(c for c in s if c not in 'aeiou')"),
        (f"move every letter {turn} places forward in the alphabet, beginning again after z; spaces"
         " stay", "s = ''.join(c if c == ' ' else chr((ord(c) - 97 + "
         f"{turn}) % 26 + 97) for c in s)"),
        ("reverse the order of the words; words are separated by one space",
         "s = ' '.join(s.split(' ')[::-1])"),
        ("reverse each word, but not the order of the words",
         "s = ' '.join(w[::-1] for w in s.split(' '))"),
        ("sort the words alphabetically", "s = ' '.join(sorted(s.split(' ')))"),
        ("remove each character that equals the one before it in the text as it is then",
         "s = ''.join(c for i, c in enumerate(s) if i == 0 or s[i - 1] != c)"),
        (f"keep only every {k}. character: the {k}., the {2 * k}. and so on",
         f"s = ''.join(c for i, c in enumerate(s, 1) if i % {k} == 0)"),
        (f"cut the text into pieces of {k} characters (the last may be shorter), and reverse each",
         f"s = ''.join(s[i:i + {k}][::-1] for i in range(0, len(s), {k}))"),
        (f"repeat each word with more than {k} letters once, with a space between",
         f"s = ' '.join(w + ' ' + w if len(w) > {k} else w for w in s.split(' '))"),
        ("move the first word to the end",
         "w = s.split(' ')\ns = ' '.join(w[1:] + w[:1])"),
    ]  # fmt: skip


def _text_ends(rng: Random) -> list[Step]:
    one = rng.choice("aeinorst")
    return [
        ("the text, between square brackets", "return '[' + s + ']'"),
        (f"how often '{one}' occurs", f"return s.count('{one}')"),
        ("how many different letters there are", "return len(set(s) - {' '})"),
        ("the length of the longest run of letters without a space (0 if there is none)",
         "return max(map(len, s.split(' ')))"),
        ("the text with each run of a character as that character and its length, as a3b1",
         "import itertools\nreturn ''.join(c + str(len(list(g))) for c, g in itertools.groupby(s))"
         ".replace(' ', '_')"),
        ("the sum of the letters, where a is 1 and z is 26, and a space is 0",
         "return sum(ord(c) - 96 for c in s if c != ' ')"),
    ]  # fmt: skip


def numbers(rng: Random, steps: int) -> Draft:
    """A problem on a list of integers."""
    chosen = rng.sample(_number_steps(rng), steps)
    end = rng.choice(_number_ends(rng))
    longest = rng.choice([8, 15, 30])
    reach = rng.choice([20, 100, 500])

    def make(rng: Random) -> list[object]:
        return [[rng.randint(-reach, reach) for _ in range(rng.randint(1, longest))]]

    limits = f"`a` has 1 to {longest} integers from -{reach} to {reach}."
    about = _listed("Given is a list `a` of integers.", chosen, end, limits)
    return Draft(about, (("a", "ints"),), _function("a", chosen, end), make)


def text(rng: Random, steps: int) -> Draft:
    """A problem on a line of text."""
    chosen = rng.sample(_text_steps(rng), steps)
    end = rng.choice(_text_ends(rng))
    if end[1].startswith("import"):
        end = (end[0] + ", and each space as _", end[1])
    words = rng.randint(2, 6)
    letters = rng.choice(["abcde", "aeinorst", "abcdefghijklmnopqrstuvwxyz"])

    def make(rng: Random) -> list[object]:
        drawn = ("".join(rng.choices(letters, k=rng.randint(1, 7))) for _ in range(words))
        return [" ".join(drawn)]

    limits = f"`s` has {words} words of 1 to 7 small letters, with one space between words."
    about = _listed("Given is a line of text `s`.", chosen, end, limits)
    return Draft(about, (("s", "str"),), _function("s", chosen, end), make)


def _listed(given: str, steps: list[Step], end: Step, limits: str) -> str:
    shown = "\n".join(f"{number}. {what}." for number, (what, _) in enumerate(steps, 1))
    order = "Do this:" if len(steps) == 1 else "Do this, one step after the other:"
    return f"{given} {limits}\n\n{order}\n\n{shown}\n\nThe result is {end[0]}."


def _function(name: str, steps: list[Step], end: Step) -> str:
    lines = [line for _, code in (*steps, end) for line in code.split("\n")]
    return "\n".join([f"def solve({name}):", *(f"    {line}" for line in lines)])
