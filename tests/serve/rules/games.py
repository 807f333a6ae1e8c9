"""Games by `/reset` and `/step`: the reward of the last step is the sum of all."""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from athlos.envs.blackjack import value
from athlos.envs.grl_sokoban.rooms import make_room
from athlos.envs.grl_sokoban.solve import fewest_moves
from athlos.envs.grl_tetris.board import MOVES, Board
from athlos.envs.grl_tetris.solve import winning_moves


class Game(NamedTuple):
    """What the model says, one text a turn, and what comes of it.

    Attributes:
        reward: A number, or a function of the observations.
        over: Whether the last step ends the game.
    """

    rule: str
    fields: dict
    answers: list
    reward: float | Callable[[list], float]
    over: bool = True


def acts(*words):
    return [f"<action>{word}</action>" for word in words]


# Sokoban

SIDES = ("Up", "Down", "Left", "Right")


def room(seed, height=6, width=6, boxes=1):
    return {"seed": seed, "dim_room": [height, width], "num_boxes": boxes, "level_id": 1}


def solution(seed, height=6, width=6, boxes=1):
    made = make_room(seed, height, width, boxes)
    return [SIDES[move] for move in fewest_moves(made.fixed, [list(row) for row in made.state])]


def by_the_boards(shown):
    """-0.1 a move, 1 for each box that comes onto a target, -1 for each that leaves one."""
    on = [board.count("√") for board in shown if board]
    total = -0.1 * (len(shown) - 1)
    return total + sum((b > a) - (b < a) for a, b in pairwise(on))


def aimless(seed, moves):
    rng = random.Random(seed)
    return acts(*rng.choices(SIDES, k=moves))


FIRST, TWO = solution(3), solution(5, 7, 7, 2)
SOKOBAN = [
    Game("-0.1 a move, 1 for the box, 10 for all", room(3), acts(*FIRST), 11 - 0.1 * len(FIRST)),
    Game("two boxes", room(5, 7, 7, 2), acts(*TWO), 12 - 0.1 * len(TWO)),
    Game("moves as numbers", room(3), acts(*(1 + SIDES.index(m) for m in FIRST)),
         11 - 0.1 * len(FIRST)),
    Game("the first bare word", room(3), [f"I go {m.lower()} now" for m in FIRST],
         11 - 0.1 * len(FIRST)),
    Game("the tag comes before words", room(3), [f"not up, but {one}" for one in acts(*FIRST)],
         11 - 0.1 * len(FIRST)),
    Game("one short of it", room(3), acts(*FIRST[:-1]), 0.0, over=False),
    Game("a word that is no move changes nothing", room(3), ["I think.", *acts(*FIRST)],
         11 - 0.1 * len(FIRST)),
    Game("the third in a row ends it", room(3), ["", "Hm.", "?"], 0.0),
    Game("another room", room(11), acts(*solution(11)), 11 - 0.1 * len(solution(11))),
    *[Game(f"a hundred moves, {n}", room(8, 6, 6, 3), aimless(n, 100), by_the_boards)
      for n in range(3)],
]  # fmt: skip

# Tetris


def board(seed, box_type=1):
    return {"seed": seed, "dim_board": [4, 4], "box_type": box_type}


def winning(seed, box_type=1):
    return [MOVES[move].title() for move in winning_moves(Board(seed, 4, 4, box_type))]


def tetris(rule, seed, box_type):
    moves, made = winning(seed, box_type), Board(seed, 4, 4, box_type)
    lines = sum(made.step(MOVES.index(move.lower())).lines for move in moves)
    return Game(rule, board(seed, box_type), acts(*moves), 10 * lines - 0.1 * len(moves))


def downwards(seed):
    """After how many moves down a game is over without a line; 0 if it is with one."""
    made = Board(seed, 4, 4, 1)
    for count in range(1, 100):
        step = made.step(MOVES.index("down"))
        if step.over:
            return 0 if step.lines else count
    return 0


TALL = next(seed for seed in range(100) if downwards(seed))
DOWNS = downwards(TALL)
TETRIS = [
    tetris("10 for a line, -0.1 a move", 100, 1),
    tetris("pairs", 201, 2),
    Game(
        "several moves in a turn",
        board(100),
        ["".join(acts(*winning(100)))],
        10 - 0.1 * len(winning(100)),
    ),
    Game("one short of a line", board(100), acts(*winning(100)[:-1]), 0.0, over=False),
    tetris("a third game of single blocks", 700, 1),
    Game(
        "no tag, no move", board(100), ["Down", *acts(*winning(100))], 10 - 0.1 * len(winning(100))
    ),
    tetris("another game of single blocks", 301, 1),
    tetris("pairs and squares", 400, 3),
    tetris("another game of pairs", 500, 2),
    tetris("another game of pairs and squares", 600, 3),
    Game(
        "words beside the tags do not matter",
        board(100),
        [f"Left, I think: {one}" for one in acts(*winning(100))],
        10 - 0.1 * len(winning(100)),
    ),
    Game("the top line ends it", board(TALL), acts(*["Down"] * DOWNS), -0.1 * DOWNS),
]

# Blackjack

RANKS = ("A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K")


def hand(seed, hits):
    """What a hand with so many hits is worth, by the rules."""
    deck = random.Random(str(seed))
    player, dealer = ([deck.choice(RANKS), deck.choice(RANKS)] for _ in range(2))
    player += [deck.choice(RANKS) for _ in range(hits)]
    if value(player) > 21:
        return -1.0
    while value(dealer) < 17:
        dealer.append(deck.choice(RANKS))
    if value(dealer) > 21 or value(player) > value(dealer):
        return 1.0
    return 0.0 if value(player) == value(dealer) else -1.0


def stands(outcome):
    return next(seed for seed in range(1000) if hand(seed, 0) == outcome)


def hits(outcome):
    """A seed whose hand has that outcome after one card that is not too much."""
    return next(seed for seed in range(1000) if hand(seed, 1) == outcome and seed not in BUSTED)


def is_bust(seed):
    """Whether one card more is too much."""
    deck = random.Random(str(seed))
    cards = [deck.choice(RANKS) for _ in range(5)]
    return value([*cards[:2], cards[4]]) > 21


BUSTED = [seed for seed in range(1000) if is_bust(seed)]


def busts():
    return BUSTED[0]


BLACKJACK = [
    Game("a win", {"seed": stands(1.0)}, acts("stand"), 1),
    Game("a draw", {"seed": stands(0.0)}, acts("stand"), 0),
    Game("a loss", {"seed": stands(-1.0)}, acts("stand"), -1),
    Game("a small word and a large one", {"seed": stands(1.0)}, ["<ACTION>Stand</ACTION>"], 1),
    Game("without tags it stands", {"seed": busts()}, ["hit"], hand(busts(), 0)),
    Game("another word stands", {"seed": busts()}, acts("double"), hand(busts(), 0)),
    Game("nothing stands", {"seed": busts()}, [""], hand(busts(), 0)),
    Game("the first tag counts", {"seed": stands(-1.0)}, ["".join(acts("stand", "hit"))], -1),
    Game("hit, then stand", {"seed": hits(1.0)}, acts("hit", "stand"), 1),
    Game("hit, then stand, and lose", {"seed": hits(-1.0)}, acts("hit", "stand"), -1),
    Game("anything else stands", {"seed": stands(1.0)}, ["Hm?"], 1),
    Game("too much loses at once", {"seed": busts()}, acts("hit"), -1),
]

GAMES = {"grl_sokoban": SOKOBAN, "grl_tetris": TETRIS, "blackjack": BLACKJACK}
