"""Rooms of Sokoban, made from a seed by playing backwards from the solved room.

The steps, and the order in which random numbers are drawn, are those of gym-sokoban (MIT licence)
and of NeMo Gym's `grl_sokoban`, so that a seed gives the same room here as there. The method is
that of "Imagination-Augmented Agents" (Weber et al., 2017). A room that is refused is drawn again
with a seed of our own choice: the one that is used there changes from process to process.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import NamedTuple

from athlos.envs.grl_sokoban.numpy_draws import NumpyDraws

__all__ = [
    "BOX",
    "BOX_ON_TARGET",
    "FLOOR",
    "MOVES",
    "PLAYER",
    "TARGET",
    "WALL",
    "Room",
    "make_room",
]

WALL, FLOOR, TARGET, BOX_ON_TARGET, BOX, PLAYER = range(6)
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Up, down, left, right, as rows and columns."""

_MASKS = (
    ((1, 0), (1, 1), (1, 2)),
    ((0, 1), (1, 1), (2, 1)),
    ((1, 0), (1, 1), (2, 1)),
    ((1, 0), (1, 1), (2, 0), (2, 1)),
    ((1, 1), (1, 2), (2, 1)),
)
_TRIES = 4
_DEPTH = 100
_MOST_STATES = 300_000
_TURN = 0.35

_Cell = tuple[int, int]


class Room(NamedTuple):
    """A room: what is fixed (walls, floor, targets), and what stands where at the beginning."""

    fixed: list[list[int]]
    state: list[list[int]]


def make_room(seed: int, height: int, width: int, boxes: int) -> Room:
    """The room of a seed."""
    while True:
        made = _room(Random(seed), NumpyDraws(seed), height, width, boxes)
        if made is not None:
            return made
        digest = hashlib.blake2b(str(seed).encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "big")


def _room(rng: Random, draws: NumpyDraws, height: int, width: int, boxes: int) -> Room | None:
    steps = int(1.7 * (height + width))
    for _ in range(_TRIES):
        room = _topology(rng, height, width, steps)
        if not _place(draws, room, boxes):
            return None
        fixed = [[FLOOR if cell == PLAYER else cell for cell in row] for row in room]
        state = [[BOX if cell == TARGET else cell for cell in row] for row in room]
        state, moved = _play_backwards(state, fixed, boxes)
        if moved:
            state = [[BOX if cell == BOX_ON_TARGET else cell for cell in row] for row in state]
            _wander(rng, state, fixed, 0.8 if moved == 1 else 0.5)
            return Room(fixed, state)
    return None


def _topology(rng: Random, height: int, width: int, steps: int) -> list[list[int]]:
    """Floor along a random walk, each step as wide as a mask."""
    directions = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    direction = rng.sample(directions, 1)[0]
    row, column = rng.randint(1, height - 1), rng.randint(1, width - 1)
    room = [[WALL] * width for _ in range(height)]
    for _ in range(steps):
        if rng.random() < _TURN:
            direction = rng.sample(directions, 1)[0]
        row = max(min(row + direction[0], height - 2), 1)
        column = max(min(column + direction[1], width - 2), 1)
        for down, right in rng.sample(_MASKS, 1)[0]:
            room[row - 1 + down][column - 1 + right] = FLOOR
    for number in range(height):
        room[number][0] = room[number][-1] = WALL
    room[0] = [WALL] * width
    room[-1] = [WALL] * width
    return room


def _place(draws: NumpyDraws, room: list[list[int]], boxes: int) -> bool:
    """Puts the player and the targets on the floor, if there is room for them."""
    if len(_cells(room, FLOOR)) <= boxes + 1:
        return False
    for what in (PLAYER, *([TARGET] * boxes)):
        floor = _cells(room, FLOOR)
        row, column = floor[draws.below(len(floor))]
        room[row][column] = what
    return True


def _cells(room: list[list[int]], kind: int) -> list[_Cell]:
    return [
        (number, column)
        for number, row in enumerate(room)
        for column, cell in enumerate(row)
        if cell == kind
    ]


def _play_backwards(
    state: list[list[int]], fixed: list[list[int]], boxes: int
) -> tuple[list[list[int]], int]:
    """Pulls boxes off their targets, depth first; keeps the room in which most was done.

    Returns:
        The room, and how far its boxes are from their targets, in sum.
    """
    width = len(fixed[0])
    plan = bytes(cell for row in fixed for cell in row)
    start = bytes(cell for row in state for cell in row)
    targets = [place for place, cell in enumerate(plan) if cell == TARGET]
    offsets = [down * width + right for down, right in MOVES]
    seen: set[bytes] = set()
    best, best_score, best_moved = start, -1, 0
    stack: list[tuple[bytes, tuple[int, ...], int, int, int]] = [
        (start, tuple(targets), 0, -1, _DEPTH)
    ]
    while stack:
        now, boxes_at, swaps, last, left = stack.pop()
        left -= 1
        if left <= 0 or len(seen) >= _MOST_STATES or now in seen:
            continue
        moved = sum(_distance(a, b, width) for a, b in zip(boxes_at, targets, strict=True))
        score = swaps * moved if now.count(TARGET) == boxes else 0
        if score > best_score:
            best, best_score, best_moved = now, score, moved
        seen.add(now)
        player = now.index(PLAYER)
        for offset in offsets:
            ahead, behind = player + offset, player - offset
            if now[ahead] not in (FLOOR, TARGET):
                continue
            after = bytearray(now)
            after[player], after[ahead] = plan[player], PLAYER
            places, pulled = boxes_at, last
            if now[behind] in (BOX, BOX_ON_TARGET):
                after[player], after[behind] = BOX_ON_TARGET, plan[behind]
                number = boxes_at.index(behind)
                places = (*boxes_at[:number], player, *boxes_at[number + 1 :])
                pulled = targets[number]
            stack.append((bytes(after), places, swaps + (pulled != last), pulled, left))
    rows = [list(best[at : at + width]) for at in range(0, len(best), width)]
    return rows, best_moved


def _distance(one: int, other: int, width: int) -> int:
    (row, column), (other_row, other_column) = divmod(one, width), divmod(other, width)
    return abs(row - other_row) + abs(column - other_column)


def _wander(rng: Random, state: list[list[int]], fixed: list[list[int]], chance: float) -> None:
    """Lets the player take up to three steps, so that the first pull is not always the answer."""
    if rng.random() > chance:
        return
    place = _cells(state, PLAYER)[0]
    been = [place]
    for step in range(1, 4):
        ahead = [(place[0] + down, place[1] + right) for down, right in MOVES]
        free = [to for to in ahead if state[to[0]][to[1]] in (FLOOR, TARGET) and to not in been]
        if not free:
            return
        to = rng.choice(free)
        state[place[0]][place[1]] = fixed[place[0]][place[1]]
        state[to[0]][to[1]] = PLAYER
        place = to
        been.append(to)
        if step >= 3 or rng.random() > 0.5:
            return
