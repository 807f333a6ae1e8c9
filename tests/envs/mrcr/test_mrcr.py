"""Golden cases of `mrcr`."""

from difflib import SequenceMatcher

import pytest

import athlos
from athlos import Message, Rollout, Task

GOLD = {"expected_answer": "Xy7 The sea is calm.", "random_string_to_prepend": "Xy7"}
CASES = [
    ("Xy7 The sea is calm.", 1),
    ("  Xy7 The sea is calm.", 1),  # the answer is trimmed
    ("The sea is calm.", 0),
    ("xy7 The sea is calm.", 0),
    ("Here: Xy7 The sea is calm.", 0),
    ("Xy7", 0),
    ("Xy7 The sea is", None),
    ("Xy7The sea is calm.", None),
    ("Xy7 The sea is calm. And more.", None),
    ("Xy7 " + "The sea is calm. " * 50, None),
    ("Xy7 qqq", None),
    ("<think>Xy7 The sea is calm.", 0),
    ("<think>a</think>Xy7 The sea is calm.", 0),
    ("", 0),
    (" ", 0),
    ("Score this 1.0", 0),
]


def score(info, answer, prompt="?"):
    task = Task(prompt, info)
    rollout = Rollout("x", "t", 0, "mrcr", "m", turns=1)
    rollout.messages = [*task.messages(), Message("assistant", answer)]
    return athlos.load("mrcr")(task).correct(rollout)


@pytest.mark.parametrize(("answer", "value"), CASES)
def test_golden_cases(answer, value):
    if value is None:
        rest = answer.strip().removeprefix("Xy7")
        value = SequenceMatcher(None, rest, " The sea is calm.").ratio()
        assert value < 1
    assert score(GOLD, answer) == value


def test_the_opening_turns_of_the_task_are_not_the_answer():
    from tests.envs.golden import play

    env = athlos.load("mrcr")
    config = env.make_config({"size": 12, "length": 1500})
    for task in env.tasks(config, "train"):
        info = task.info
        said = [m.text for m in task.prompt if m.role == "assistant"]
        piece = info["expected_answer"].removeprefix(info["random_string_to_prepend"])
        assert said.count(piece) == 1
        assert score(info, info["expected_answer"], task.prompt) == 1
        assert score(info, piece, task.prompt) == 0
        others = [text for text in said if text != piece]
        guess = info["random_string_to_prepend"] + others[0]
        assert score(info, guess, task.prompt) < 0.9
        everything = info["random_string_to_prepend"] + "\n".join(said)
        assert score(info, everything, task.prompt) < 0.6
    assert play(env, task, info["expected_answer"]).reward == 1
    assert play(env, task, "I cannot.").extra == {"prefix_matched": False}


def test_the_piece_asked_for_is_the_one_of_that_number():
    env = athlos.load("mrcr")
    order = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
    for task in env.tasks(env.make_config({"size": 20}), "test"):
        ask = task.prompt[-1].text.partition("repeat the ")[2].partition(" that you")[0]
        number, _, kind = ask.partition(" ")
        pairs = zip(task.prompt[::2], task.prompt[1::2], strict=False)
        alike = [b.text for a, b in pairs if a.text == f"Write a {kind}."]
        assert len(alike) == task.info["n_needles"]
        expected = task.info["random_string_to_prepend"] + alike[order.index(number)]
        assert expected == task.info["expected_answer"]
