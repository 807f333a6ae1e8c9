"""Puzzles in the manner of ARC, made from a seed: pairs of grids with one rule between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from athlos.envs.seeds import draw

__all__ = ["LEVELS", "Puzzle", "puzzle", "show"]

LEVELS = (1, 2, 3)
_SIDES = {1: (2, 4), 2: (3, 6), 3: (4, 8)}
_PAIRS = 3

Grid = list[list[int]]
_Rule = Callable[[Grid], Grid]


class Puzzle(NamedTuple):
    """Pairs that show the rule, a grid, and what the rule makes of it."""

    train: list[dict[str, Grid]]
    test_input: Grid
    expected_output: Grid


def puzzle(label: str, seed: int, level: int) -> Puzzle:
    """The puzzle with this number; no two splits have one in common."""
    return draw(
        f"{label} {level}",
        seed,
        lambda rng: _drawn(rng, level),
        lambda made: json.dumps([made.train, made.test_input]),
    )


def show(train: Sequence[dict[str, Any]], test_input: Grid) -> str:
    """The puzzle as text."""
    parts = ["Each pair shows an input grid and the output grid that one rule makes of it."]
    for number, pair in enumerate(train, 1):
        given, made = json.dumps(pair["input"]), json.dumps(pair["output"])
        parts.append(f"Pair {number}\ninput: {given}\noutput: {made}")
    parts.append(f"Find the rule, and the output grid for this input: {json.dumps(test_input)}")
    return "\n\n".join(parts)


def _drawn(rng: Random, level: int) -> Puzzle:
    while True:
        rule = _rule(rng, level)
        grids = [_grid(rng, *_SIDES[level]) for _ in range(_PAIRS + 1)]
        made = [rule(grid) for grid in grids]
        answer = made[-1]
        others = [*grids, *made[:-1]]
        # an answer that stands in the question, or a rule that nobody sees, is no puzzle
        if answer not in others and all(a != b for a, b in zip(grids, made, strict=True)):
            train = [
                {"input": grid, "output": output}
                for grid, output in zip(grids[:-1], made[:-1], strict=True)
            ]
            return Puzzle(train, grids[-1], answer)


def _grid(rng: Random, smallest: int, largest: int) -> Grid:
    height, width = rng.randint(smallest, largest), rng.randint(smallest, largest)
    colours = rng.sample(range(1, 8), 3)
    return [
        [rng.choice(colours) if rng.random() < 0.5 else 0 for _ in range(width)]
        for _ in range(height)
    ]


def _rule(rng: Random, level: int) -> _Rule:
    if level == 1:
        return rng.choice(_MOVES)
    if level == 2:
        return rng.choice(_CHANGES)(rng)
    first, second = rng.choice(_MOVES), rng.choice(_CHANGES)(rng)
    return lambda grid: second(first(grid))


def _flip(grid: Grid) -> Grid:
    return [row[::-1] for row in grid]


def _turn_over(grid: Grid) -> Grid:
    return [list(row) for row in grid[::-1]]


def _transpose(grid: Grid) -> Grid:
    return [list(column) for column in zip(*grid, strict=True)]


def _quarter_turn(grid: Grid) -> Grid:
    return _flip(_transpose(grid))


def _half_turn(grid: Grid) -> Grid:
    return _flip(_turn_over(grid))


def _recolour(rng: Random) -> _Rule:
    """Every colour becomes the one that is so many places further, of seven."""
    shift = rng.randint(1, 6)

    def shifted(cell: int) -> int:
        return (cell - 1 + shift) % 7 + 1 if cell else 0

    return lambda grid: [[shifted(cell) for cell in row] for row in grid]


def _frame(rng: Random) -> _Rule:
    colour = rng.randint(8, 9)

    def framed(grid: Grid) -> Grid:
        line = [colour] * (len(grid[0]) + 2)
        return [line, *([colour, *row, colour] for row in grid), line[:]]

    return framed


def _fill(rng: Random) -> _Rule:
    colour = rng.randint(8, 9)
    return lambda grid: [[cell or colour for cell in row] for row in grid]


def _fall(rng: Random) -> _Rule:
    def fallen(column: list[int]) -> list[int]:
        kept = [cell for cell in column if cell]
        return [0] * (len(column) - len(kept)) + kept

    return lambda grid: _transpose([fallen(column) for column in _transpose(grid)])


def _enlarge(rng: Random) -> _Rule:
    def enlarged(grid: Grid) -> Grid:
        return [[cell for cell in row for _ in range(2)] for row in grid for _ in range(2)]

    return enlarged


def _mirror(rng: Random) -> _Rule:
    if rng.random() < 0.5:
        return lambda grid: [[*row, *row[::-1]] for row in grid]
    return lambda grid: [*grid, *_turn_over(grid)]


def _count_colours(rng: Random) -> _Rule:
    """One line, as long as there are full cells."""
    colour = rng.randint(1, 9)
    return lambda grid: [[colour] * max(sum(bool(cell) for row in grid for cell in row), 1)]


_MOVES: tuple[_Rule, ...] = (_flip, _turn_over, _transpose, _quarter_turn, _half_turn)
_CHANGES: tuple[Callable[[Random], _Rule], ...] = (
    _recolour, _frame, _fill, _fall, _enlarge, _mirror, _count_colours,
)  # fmt: skip
