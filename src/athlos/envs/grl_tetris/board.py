"""Tetris on a small board with the smallest pieces; the rules of NeMo Gym's `grl_tetris`."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

__all__ = ["MOVES", "SHAPES", "Board", "Piece", "Step"]

MOVES = ("left", "right", "down")

Shape = tuple[tuple[int, int], ...]
SHAPES: dict[int, tuple[Shape, ...]] = {
    1: (((0, 0),),),
    2: (((0, 0), (0, -1)), ((0, 0), (-1, 0))),
    3: (((0, 0), (0, -1)), ((0, 0), (-1, 0)), ((0, 0), (-1, 0), (0, -1), (-1, -1))),
}
"""Cells of each piece from its anchor, right and down, by `box_type`."""


class Piece(NamedTuple):
    """A piece and where it appears."""

    column: int
    shape: Shape


class Step(NamedTuple):
    """What a move did."""

    reward: float
    lines: int
    over: bool


class Board:
    """One game.

    Args:
        seed: Of the pieces.
        width: Columns.
        height: Rows.
        box_type: 1, 2 or 3: which pieces there are.
    """

    def __init__(self, seed: int, width: int, height: int, box_type: int) -> None:
        self.width, self.height = width, height
        self.cells = [[False] * width for _ in range(height)]
        self._rng = Random(seed)
        self._shapes = SHAPES[box_type]
        self._counts = [0] * len(self._shapes)
        self.pieces = [self._draw() for _ in range(width * height + 1)]
        self._next = 0
        self._appear()

    def _draw(self) -> Piece:
        weights = [5 + max(self._counts) - count for count in self._counts]
        left = self._rng.randint(1, sum(weights))
        number = 0
        while left > weights[number]:
            left -= weights[number]
            number += 1
        self._counts[number] += 1
        shape = self._shapes[number]
        return Piece(self._rng.randint(1 if (-1, 0) in shape else 0, self.width - 1), shape)

    def _appear(self) -> None:
        if self._next == len(self.pieces):
            self.pieces.append(self._draw())
        self.column, self.shape = self.pieces[self._next]
        self.row = 0
        self._next += 1

    def _blocked(self, column: int, row: int) -> bool:
        for right, down in self.shape:
            x, y = column + right, row + down
            if y >= 0 and (not 0 <= x < self.width or y >= self.height or self.cells[y][x]):
                return True
        return False

    def step(self, move: int) -> Step:
        """Moves the piece, 0 to 2 for `MOVES`; it locks where it cannot fall any more."""
        column = self.column + (-1, 1, 0)[move]
        row = self.row + (move == 2)
        if not self._blocked(column, row):
            self.column, self.row = column, row
        if not self._blocked(self.column, self.row + 1):
            return Step(-0.1, 0, False)
        for right, down in self.shape:
            x, y = self.column + right, self.row + down
            if 0 <= x < self.width and 0 <= y < self.height:
                self.cells[y][x] = True
        kept = [line for line in self.cells if not all(line)]
        lines = self.height - len(kept)
        self.cells = [[False] * self.width for _ in range(lines)] + kept
        topped = any(self.cells[0])
        if not topped:
            self._appear()
        return Step(-0.1 + 10 * lines, lines, topped or lines > 0)

    def settled(self) -> int:
        """How many blocks have settled."""
        return sum(map(sum, self.cells))

    def view(self) -> str:
        """The board as text: _ empty, # settled, X the falling piece."""
        rows = [["#" if cell else "_" for cell in line] for line in self.cells]
        for right, down in self.shape:
            x, y = self.column + right, self.row + down
            if 0 <= x < self.width and 0 <= y < self.height:
                rows[y][x] = "X"
        return "\n".join("".join(row) for row in rows)
