"""Generated programming problems: their wording, a program that solves them, and their tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from athlos.envs.code_gen.classics import HARD, MIDDLE
from athlos.envs.code_gen.pipelines import Draft, numbers, text
from athlos.envs.seeds import draw

__all__ = ["LEVELS", "Problem", "problem"]

LEVELS = (1, 2, 3, 4, 5)
_TESTS, _EXAMPLES = 8, 2
_TRIES = 50
_SAME = 3  # tests and examples that have the same result, at most
_WHAT = {
    "int": "an integer", "ints": "a list of integers", "str": "a string",
    "pairs": "a list of pairs of integers", "rows": "a list of strings",
}  # fmt: skip
_READ = {
    "int": ("a line with `{0}`", "int(next(lines))"),
    "ints": ("a line with the integers of `{0}`, separated by spaces",
             "[int(x) for x in next(lines).split()]"),
    "str": ("a line with `{0}`", "next(lines)"),
    "pairs": ("a line with the number of pairs in `{0}`, then a line for each pair, with its two"
              " integers separated by a space",
              "[[int(x) for x in next(lines).split()] for _ in range(int(next(lines)))]"),
    "rows": ("a line with the number of rows of `{0}`, then the rows, each on a line of its own",
             "[next(lines) for _ in range(int(next(lines)))]"),
}  # fmt: skip


_Case = tuple[list[object], object]


class Problem(NamedTuple):
    """A problem.

    Attributes:
        prompt: Its wording, with examples that are no tests.
        about: What is to be computed, without the form of the answer.
        parameters: Name and kind of each.
        unit_tests: As rows have them.
        solution: A program that passes them.
        source: The function in it that does the work, `solve`.
    """

    prompt: str
    about: str
    parameters: tuple[tuple[str, str], ...]
    unit_tests: dict[str, Any]
    solution: str
    source: str


def problem(label: str, seed: int, level: int, style: str) -> Problem:
    """The problem of a seed.

    Args:
        label: Tells its users apart.
        seed: One of `split_seeds`.
        level: One of `LEVELS`.
        style: "stdio" or "call".
    """
    drafted, cases = draw(
        f"{label} {level}", seed, lambda rng: _drafted(rng, level), lambda made: made[0].about
    )
    return _worded(drafted, cases, style)


def _drafted(rng: Random, level: int) -> tuple[Draft, list[_Case]]:
    """A problem whose tests have different results, with those and the examples."""
    while True:
        draft = _draft(rng, level)
        solve = _solver(draft.source)
        cases: dict[str, _Case] = {}
        for _ in range(_TRIES):
            arguments = draft.make(rng)
            key = json.dumps(arguments)
            if key not in cases:
                cases[key] = (arguments, solve(*json.loads(key)))
            if len(cases) == _TESTS + _EXAMPLES:
                break
        results = Counter(repr(found) for _, found in cases.values())
        if len(cases) == _TESTS + _EXAMPLES and max(results.values()) <= _SAME:
            return draft, list(cases.values())


def _draft(rng: Random, level: int) -> Draft:
    if level <= 3:
        make = rng.choice([numbers, text])
        return make(rng, 2 * level - 1 if level > 1 else 2)
    return rng.choice(MIDDLE if level == 4 else HARD)(rng)


def _worded(draft: Draft, cases: list[_Case], style: str) -> Problem:
    examples, tests = cases[:_EXAMPLES], cases[_EXAMPLES:]
    names = [name for name, _ in draft.kinds]
    if style == "call":
        signature = f"solve({', '.join(names)})"
        kinds = ", ".join(f"`{name}` is {_WHAT[kind]}" for name, kind in draft.kinds)
        shape = f"Write a function `{signature}` that returns the result; {kinds}."
        shown = "\n".join(
            f"    solve({', '.join(map(repr, given))}) returns {found!r}"
            for given, found in examples
        )
        inputs = ["\n".join(map(json.dumps, given)) for given, _ in tests]
        outputs = [json.dumps(found) for _, found in tests]
        solution = draft.source
    else:
        lines = "; then ".join(_READ[kind][0].format(name) for name, kind in draft.kinds)
        shape = (
            f"Write a program that reads from standard input {lines}, and prints the result to"
            f" standard output. A list is printed on one line, with spaces between its numbers; an"
            f" empty list is printed as an empty line."
        )
        shown = "\n\n".join(
            f"Input:\n{_indented(_as_lines(draft, given))}\nOutput:\n{_indented(_printed(found))}"
            for given, found in examples
        )
        inputs = [_as_lines(draft, given) for given, _ in tests]
        outputs = [_printed(found) for _, found in tests]
        solution = _program(draft)
    prompt = f"{draft.about}\n\n{shape}\n\nExamples:\n\n{shown}"
    fn_name = "solve" if style == "call" else None
    unit_tests = {"inputs": inputs, "outputs": outputs, "fn_name": fn_name}
    return Problem(prompt, draft.about, draft.kinds, unit_tests, solution, draft.source)


def _solver(source: str) -> Callable[..., object]:
    space: dict[str, Any] = {}
    exec(compile(source, "<solution>", "exec"), space)  # noqa: S102 - of this module's own making
    solve: Callable[..., object] = space["solve"]
    return solve


def _as_lines(draft: Draft, given: list[object]) -> str:
    lines: list[str] = []
    for (_, kind), value in zip(draft.kinds, given, strict=True):
        if kind in ("pairs", "rows"):
            assert isinstance(value, list)
            lines.append(str(len(value)))
            lines += [one if isinstance(one, str) else _printed(one) for one in value]
        else:
            lines.append(_printed(value))
    return "\n".join(lines) + "\n"


def _printed(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines.rstrip("\n").split("\n"))


def _program(draft: Draft) -> str:
    reads = [f"{name} = {_READ[kind][1]}" for name, kind in draft.kinds]
    names = ", ".join(name for name, _ in draft.kinds)
    return "\n".join(
        [
            "import sys", "", draft.source, "", 'lines = iter(sys.stdin.read().split("\\n"))',
            *reads, f"result = solve({names})",
            "print(*result) if isinstance(result, list) else print(result)",
        ]
    )  # fmt: skip
