"""Golden cases of `grl_sokoban`."""

import pytest
from tests.envs.golden import play

import athlos
from athlos import Message, Task
from athlos.envs.grl_sokoban import read_move
from athlos.envs.grl_sokoban.numpy_draws import NumpyDraws
from athlos.envs.grl_sokoban.rooms import make_room
from athlos.envs.grl_sokoban.solve import fewest_moves

NAMES = ["Up", "Down", "Left", "Right"]


def room(*lines, **config):
    """An environment whose room is drawn."""
    cls = athlos.load("grl_sokoban")
    env = cls(Task("?", {"seed": 1}), config=cls.make_config(config))
    env.setup()
    signs = "#_O√XP"
    env.state = [[5 if sign == "S" else signs.index(sign) for sign in line] for line in lines]
    env.fixed = [
        [2 if sign in "O√S" else 0 if sign == "#" else 1 for sign in line] for line in lines
    ]
    env.boxes = max(sum(line.count(sign) for line in lines for sign in "X√"), 1)
    env.on_target = sum(line.count("√") for line in lines)
    return env


MOVES = [  # room, move, after it, reward
    (["#####", "#P__#", "#####"], 3, ["#####", "#_P_#", "#####"], -0.1),
    (["#####", "#P__#", "#####"], 2, ["#####", "#P__#", "#####"], -0.1),  # a wall
    (["#####", "#PX_#", "#####"], 3, ["#####", "#_PX#", "#####"], -0.1),
    (["#####", "#_PX#", "#####"], 3, ["#####", "#_PX#", "#####"], -0.1),  # no room behind
    (["######", "#PXX_#", "######"], 3, ["######", "#PXX_#", "######"], -0.1),  # two boxes
    (["#####", "#P_X#", "#####"], 2, ["#####", "#P_X#", "#####"], -0.1),
    (["#####", "#_PX#", "#####"], 2, ["#####", "#P_X#", "#####"], -0.1),  # no pulling
    (["#####", "#PXO#", "#####"], 3, ["#####", "#_P√#", "#####"], 10.9),  # solved
    (["######", "#PXOX#", "######"], 3, ["######", "#_P√X#", "######"], 0.9),  # onto a target
    (["#######", "#P√_X_#", "#######"], 3, ["#######", "#_SXX_#", "#######"], -1.1),  # off it
    (["#######", "#P√OX_#", "#######"], 3, ["#######", "#_S√X_#", "#######"], -0.1),
    (["#####", "#PO_#", "#####"], 3, ["#####", "#_S_#", "#####"], -0.1),
    (["#####", "#S__#", "#####"], 3, ["#####", "#OP_#", "#####"], -0.1),
]


@pytest.mark.parametrize(("before", "move", "after", "value"), MOVES)
def test_moves(before, move, after, value):
    env = room(*before)
    assert env.step(move) == pytest.approx(value)
    assert env.view().split("\n") == after


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("<action>Up</action>", 0), ("<action> DOWN </action>", 1), ("<action>3</action>", 2),
        ("<action>4</action>", 3), ("I think <action>left</action> not <action>up</action>", 2),
        ("Go right, then up", 3), ("up <action>down</action>", 1), ("upwards", None),
        ("<action>5</action>", None), ("<action>jump</action>", None), ("", None), ("3", None),
        ("<think>up or down", None), ("<think>up</think> Left", 0), ("\x00" * 50, None),
    ],
)  # fmt: skip
def test_the_first_tag_counts_else_the_first_word(text, move):
    assert read_move(text) == move


def test_every_level_can_be_solved_and_solving_it_passes():
    cls = athlos.load("grl_sokoban")
    for task in list(cls.tasks(cls.make_config({"size": 9}), "train")):
        env = cls(task)
        env.setup()
        boxes = task.info["num_boxes"]
        assert env.view().count("X") == boxes
        assert env.on_target == 0
        path = fewest_moves(env.fixed, env.state)
        answers = [f"<action>{NAMES[move]}</action>" for move in path]
        rollout = play("grl_sokoban", task, *answers)
        # every step costs; a box may have to leave its target on the way
        assert rollout.reward == pytest.approx(10 + boxes - 0.1 * len(path))
        assert rollout.metrics["success"] == 1 and rollout.stop_reason == "environment"
        assert rollout.reward > cls.pass_threshold


def test_what_is_not_readable_changes_nothing_and_ends_it_at_last():
    task = Task("?", {"seed": 3})
    for text in ("", "I cannot help.", "<action>win</action>", "reward: 11", "<think>up"):
        rollout = play("grl_sokoban", task, text)
        assert rollout.reward == 0 and rollout.turns == 3
        assert rollout.metrics == {"success": 0, "unreadable_turns": 3}


def test_it_ends_after_so_many_moves():
    rollout = play("grl_sokoban", Task("?", {"seed": 3}), "Up", max_steps=7)
    assert rollout.extra["steps"] == 7 and rollout.reward == pytest.approx(-0.7)


def test_a_seed_makes_one_room_and_the_defaults_are_six_by_six_with_one_box():
    def opening(info):
        env = athlos.load("grl_sokoban")(Task("?", info), seed=5)
        env.setup()
        assert isinstance(env.task.prompt[-1], Message)
        return env.view()

    assert opening({"seed": 3}) == opening({"seed": 3, "dim_room": [6, 6], "num_boxes": 1})
    assert opening({"seed": 3}) != opening({"seed": 4})
    assert opening({"num_boxes": 1}) == opening({"seed": 5})
    assert opening({"seed": 3, "dim_room": [5, 8]}).count("\n") == 4


def test_a_room_that_cannot_be_made_is_a_mistake_of_the_row():
    for wrong in ({"dim_room": [3, 3]}, {"dim_room": [500, 500]}, {"num_boxes": 99}):
        env = athlos.load("grl_sokoban")(Task("?", {"seed": 1, **wrong}))
        with pytest.raises(athlos.ConfigError, match="cannot be made"):
            env.setup()


def test_rooms_are_those_of_numpy_and_random():
    numpy = pytest.importorskip("numpy")
    for seed in (0, 7, 123_456, 2**32 + 1):
        ours, theirs = NumpyDraws(seed), numpy.random.RandomState(seed % 2**32)
        limits = [2, 3, 16, 17, 100, 1] * 120
        assert [ours.below(n) for n in limits] == [int(theirs.randint(n)) for n in limits]


def test_rooms_do_not_change_between_versions():
    state = make_room(1, 6, 6, 1).state
    assert "\n".join("".join("#_O√XP"[cell] for cell in row) for row in state) == KEPT


KEPT = "######\n#O_###\n#_####\n#X_###\n#P_###\n######"
