"""Whether, and how, a line of a board can be cleared."""

from __future__ import annotations

import copy

from athlos.envs.grl_tetris.board import Board

__all__ = ["can_be_cleared", "winning_moves"]

_LEFT, _RIGHT, _DOWN = range(3)
_MOST_GAMES = 4000


def can_be_cleared(board: Board) -> bool:
    """Whether moving each piece sideways first and then down can fill a line."""
    return winning_moves(board) is not None


def winning_moves(board: Board) -> list[int] | None:
    """Moves that clear a line, if a short search finds some: the best placements first."""
    left = [_MOST_GAMES]
    return _search(board, left)


def _search(board: Board, left: list[int]) -> list[int] | None:
    for moves, after, lines, over in _placements(board):
        if lines:
            return moves
        left[0] -= 1
        if over or left[0] <= 0:
            continue
        if (rest := _search(after, left)) is not None:
            return [*moves, *rest]
    return None


def _placements(board: Board) -> list[tuple[list[int], Board, int, bool]]:
    """Every column for the falling piece, those that fill low lines first."""
    found: list[tuple[float, list[int], Board, int, bool]] = []
    for shift in range(-board.width, board.width + 1):
        trial = copy.copy(board)
        trial.cells = [list(row) for row in board.cells]
        trial.pieces = list(board.pieces)
        moves: list[int] = []
        lines, over, locked = 0, False, False
        before = trial.settled()
        for move in [*[_LEFT if shift < 0 else _RIGHT] * abs(shift), *[_DOWN] * board.height]:
            column = trial.column
            step = trial.step(move)
            moves.append(move)
            lines, over = step.lines, step.over
            locked = over or trial.settled() != before
            if locked:
                break
            if move != _DOWN and trial.column == column:
                break  # a wall: another shift comes to the same
        if locked:
            holes = sum(row.count(True) * number for number, row in enumerate(trial.cells))
            found.append((-holes - 1000 * lines, moves, trial, lines, over))
    found.sort(key=lambda one: (one[0], len(one[1])))
    return [one[1:] for one in found]
