"""Golden cases of `grl_tetris`."""

import pytest
from tests.envs.golden import play

import athlos
from athlos import Task
from athlos.envs.grl_tetris import read_moves
from athlos.envs.grl_tetris.board import MOVES, SHAPES, Board
from athlos.envs.grl_tetris.solve import winning_moves

LEFT, RIGHT, DOWN = range(3)


def board(*lines, shape=SHAPES[1][0], column=0):
    made = Board(1, len(lines[0]), len(lines), 1)
    made.cells = [[sign == "#" for sign in line] for line in lines]
    made.shape, made.column, made.row = shape, column, 0
    return made


UPRIGHT, FLAT = SHAPES[2]
SQUARE = SHAPES[3][2]


def test_a_piece_moves_and_falls_only_when_moved_down():
    made = board("____", "____", "____")
    assert made.step(LEFT) == (-0.1, 0, False) and made.column == 0  # a wall
    assert made.step(RIGHT) == (-0.1, 0, False) and (made.column, made.row) == (1, 0)
    assert made.step(DOWN) == (-0.1, 0, False) and made.view().split("\n")[1] == "_X__"


def test_it_settles_where_it_cannot_fall():
    made = board("____", "____", "##__")
    made.step(DOWN)
    assert made.cells[1] == [True, False, False, False]
    assert made.row == 0 and made.settled() == 3
    made = board("____", "_#__", "____", column=0)
    made.row = 1
    made.step(RIGHT)  # a settled block
    assert made.column == 0


def test_a_full_line_is_worth_ten_and_ends_it():
    made = board("____", "____", "_###")
    made.step(DOWN)
    assert made.step(DOWN) == (pytest.approx(9.9), 1, True)
    assert not any(map(any, made.cells))


def test_two_lines_are_worth_twenty():
    made = board("____", "____", "##__", "##__", shape=SQUARE, column=3)
    made.step(DOWN)
    made.step(DOWN)
    assert made.step(DOWN) == (pytest.approx(19.9), 2, True)


def test_lines_above_come_down():
    made = board("____", "#___", "_###")
    made.cells[1] = [False, False, False, True]
    made.step(DOWN)
    made.step(DOWN)
    assert made.cells[2] == [False, False, False, True]


def test_a_settled_block_in_the_top_line_ends_it():
    made = board("____", "#___")
    assert made.step(LEFT) == (-0.1, 0, True)


def test_pieces():
    assert board("____", "____", shape=FLAT, column=1).view() == "XX__\n____"
    assert board("____", "____", shape=UPRIGHT, column=1).view() == "_X__\n____"
    assert [len(SHAPES[kind]) for kind in (1, 2, 3)] == [1, 2, 3]
    for kind in (1, 2, 3):
        made = Board(5, 4, 4, kind)
        assert len(made.pieces) == 17
        assert all(column >= 1 for column, shape in made.pieces if (-1, 0) in shape)
        assert made.pieces == Board(5, 4, 4, kind).pieces != Board(6, 4, 4, kind).pieces


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("<action>Left</action>", [0]), ("<action> DOWN </action>", [2]),
        ("<action>1</action> and <action>2</action>", [1, 2]), ("Left", []), ("", []),
        ("<action>up</action>", []), ("<action>3</action>", []), ("<action>Left", []),
        ("<think><action>Left</action>", []), ("<think>x</think><action>Right</action>", [1]),
        ("<action></action>", []), ("\x00" * 50, []),
    ],
)  # fmt: skip
def test_only_tags_count(text, moves):
    assert read_moves(text) == moves


def test_every_level_can_be_won():
    env = athlos.load("grl_tetris")
    for task in env.tasks(env.make_config({"size": 8}), "train"):
        info = task.info
        moves = winning_moves(Board(info["seed"], *info["dim_board"], info["box_type"]))
        tags = [f"<action>{MOVES[move]}</action>" for move in moves]
        for answers in (["".join(tags)], tags[:40]):
            rollout = play(env, task, *answers)
            if len(answers) == 1 or len(tags) <= 40:
                lines = round((rollout.reward + 0.1 * len(moves)) / 10)
                assert rollout.reward == pytest.approx(10 * lines - 0.1 * len(moves))
                assert lines >= 1 and rollout.metrics["success"] == 1


def test_what_is_not_readable_changes_nothing_and_ends_it_at_last():
    for text in ("", "I cannot help.", "<action>win</action>", "Left Left Down", "<think>"):
        rollout = play("grl_tetris", Task("?", {"seed": 3}), text)
        assert rollout.reward == 0 and rollout.turns == 3


def test_losing_costs():
    pile = "<action>Left</action>" * 3 + "<action>Down</action>" * 4
    rollout = play("grl_tetris", Task("?", {"seed": 3, "box_type": 1}), pile * 5)
    assert rollout.reward < 0 and rollout.metrics["success"] == 0
    assert rollout.stop_reason == "environment"


def test_sizes_of_either_name_and_those_that_cannot_be():
    def view(info):
        env = athlos.load("grl_tetris")(Task("?", {"seed": 1, **info}))
        env.setup()
        return env.board.view()

    assert view({"dim_board": [5, 6]}) == view({"dim_x": 5, "dim_y": 6})
    assert view({}).split("\n")[3] == "____"
    for wrong in ({"box_type": 4}, {"dim_board": [1, 4]}, {"dim_x": 900}):
        with pytest.raises(athlos.ConfigError, match="cannot be made"):
            view(wrong)
