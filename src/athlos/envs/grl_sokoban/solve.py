"""How a room is solved with the fewest moves, by breadth-first search."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from athlos.envs.grl_sokoban.rooms import BOX, BOX_ON_TARGET, MOVES, PLAYER, TARGET, WALL

__all__ = ["fewest_moves"]

_MOST_STATES = 200_000

_Cell = tuple[int, int]


def fewest_moves(
    fixed: Sequence[Sequence[int]], state: Sequence[Sequence[int]]
) -> list[int] | None:
    """The moves, 0 to 3; None if there are none, or the search would take too long.

    Args:
        fixed: Walls, floor and targets.
        state: What stands where.
    """
    places = [
        ((number, column), cell)
        for number, row in enumerate(state)
        for column, cell in enumerate(row)
    ]
    player = next(place for place, cell in places if cell == PLAYER)
    boxes = frozenset(place for place, cell in places if cell in (BOX, BOX_ON_TARGET))
    came: dict[tuple[_Cell, frozenset[_Cell]], tuple[_Cell, frozenset[_Cell], int] | None]
    came = {(player, boxes): None}
    queue = deque([(player, boxes)])
    while queue and len(came) < _MOST_STATES:
        player, boxes = queue.popleft()
        for move, (down, right) in enumerate(MOVES):
            ahead = player[0] + down, player[1] + right
            if fixed[ahead[0]][ahead[1]] == WALL:
                continue
            after = boxes
            if ahead in boxes:
                behind = ahead[0] + down, ahead[1] + right
                if fixed[behind[0]][behind[1]] == WALL or behind in boxes:
                    continue
                after = boxes - {ahead} | {behind}
            if (ahead, after) in came:
                continue
            came[ahead, after] = player, boxes, move
            if all(fixed[row][column] == TARGET for row, column in after):
                return _path(came, (ahead, after))
            queue.append((ahead, after))
    return None


def _path(
    came: dict[tuple[_Cell, frozenset[_Cell]], tuple[_Cell, frozenset[_Cell], int] | None],
    end: tuple[_Cell, frozenset[_Cell]],
) -> list[int]:
    moves: list[int] = []
    while (step := came[end]) is not None:
        moves.append(step[2])
        end = step[0], step[1]
    return moves[::-1]
