r"""Golden cases of `equivalence_rule`."""

from difflib import SequenceMatcher
from itertools import islice

import pytest
from tests.envs.golden import play, play_all

import athlos
from athlos import ConfigError
from athlos.envs.equivalence_rule.edits import LEVELS, edit
from athlos.rows import row_to_task

GOLD = {"expected_answer": "The quick  Fox"}
SEQ, WEIGHTED = ({**GOLD, "grading_rule": rule} for rule in ("seq_match", "weighted_seq_match"))


def ratio(a, b):
    return SequenceMatcher(None, a, b).ratio()


CASES = [
    (GOLD, "the quick fox", 1),
    (GOLD, "  THE\tquick\n\nFOX ", 1),
    (GOLD, "the quick fox.", 0),
    (GOLD, "The answer is: the quick fox", 0),
    (GOLD, "the quick dog", 0),
    (GOLD, "", 0),
    (GOLD, " \n", 0),
    (GOLD, "the quick fox\x00", 0),
    (GOLD, "<think>the quick fox", 0),
    (GOLD, "the quick fox<think>", 1),
    (GOLD, "the quick fox\nthe quick dog\nthe quick cat", 0),
    (SEQ, "The QUICK fox", 1),
    (SEQ, "the quick dog", ratio("the quick dog", "the quick fox")),
    (SEQ, "zzz", 0),
    (SEQ, "", 0),
    (WEIGHTED, "the quick fox", 1),
    (WEIGHTED, "the quick dog", 0.85 * ratio("the quick dog", "the quick fox") + 0.15),
    (WEIGHTED, "zzz", 0),
    ({"expected_answer": ""}, "", 0),
    ({"expected_answer": "", "grading_rule": "seq_match"}, "", 0),
]


def test_golden_cases():
    played = play_all("equivalence_rule", [(info, answer) for info, answer, _ in CASES])
    for case, rollout in zip(CASES, played, strict=True):
        assert rollout.reward == pytest.approx(case[2]), case


def test_the_rule_may_be_a_setting_and_a_row_of_nemo_gym_is_read():
    row = {"responses_create_params": {"input": "?"}, "expected_answer": "abcd"}
    rollout = play("equivalence_rule", row_to_task(row), "abcx", grading_rule="seq_match")
    assert rollout.reward == 0.75


def test_a_comparison_that_takes_too_long_is_wrong_and_says_so(monkeypatch):
    env = athlos.load("equivalence_rule")
    monkeypatch.setattr(env, "scorers", tuple(s._replace(timeout=1.0) for s in env.scorers))
    task = row_to_task({"prompt": "?", "expected_answer": "ab" * 99, "grading_rule": "seq_match"})
    rollout = play("equivalence_rule", task, "ba" * 100_000)
    assert (rollout.reward, rollout.extra["timed_out"]) == (0.0, ["equal"])


def test_the_expected_text_scores_and_the_prompt_does_not():
    env = athlos.load("equivalence_rule")
    tasks = list(islice(env.tasks(env.make_config(), "test"), 50))
    assert not any(task.info["expected_answer"] in task.prompt for task in tasks)
    cases = [(task, task.info["expected_answer"]) for task in tasks]
    assert {rollout.reward for rollout in play_all("equivalence_rule", cases)} == {1.0}
    cases = [(task, task.prompt) for task in tasks]
    assert {rollout.reward for rollout in play_all("equivalence_rule", cases)} == {0.0}


def test_a_level_that_is_not_there():
    env = athlos.load("equivalence_rule")
    with pytest.raises(ConfigError, match="level must be 1 to 5"):
        list(env.tasks(env.make_config({"level": 6}), "test"))


def test_each_level_has_as_many_steps_and_its_own_tasks_in_each_split():
    for level in LEVELS:
        train, test = ([edit(first + n, level) for n in range(200)] for first in (0, 1_000_000))
        assert all(len(made.steps) == level for made in train)
        assert not {made.text for made in train} & {made.text for made in test}
        assert len({made.text for made in train}) == 200


def apply(words, step):
    quoted = step.split('"')[1::2]
    numbers = [int(word) for word in step.split() if word.isdigit()]
    if step.startswith("Reverse"):
        return list(reversed(words))
    if step.startswith("Put"):
        return sorted(words)
    if step.startswith("Order"):
        return [word for length in range(20) for word in words if len(word) == length]
    if step.startswith("Remove"):
        return [word for word in words if word.count(quoted[0]) == 0]
    if step.startswith("Where"):
        return [word for n, word in enumerate(words) if word not in words[:n]]
    if step.startswith("Swap"):
        return words[-1:] + words[1:-1] + words[:1]
    if step.startswith("Keep"):
        return [word for n, word in enumerate(words, start=1) if n % 2]
    if step.startswith("Write"):
        return [word[::-1] if n == numbers[0] else word for n, word in enumerate(words, start=1)]
    if step.startswith("Replace"):
        return [quoted[1] if word == quoted[0] else word for word in words]
    moved = numbers[0] if numbers else 1
    return words[moved:] + words[:moved]


def test_the_expected_answer_is_right():
    for seed in range(300):
        made = edit(seed, LEVELS[seed % 5])
        words = made.text.split()
        for step in made.steps:
            words = apply(words, step)
        assert " ".join(words) == made.expected_answer, made


def test_tasks_do_not_change_between_versions():
    made = edit(3, 2)
    assert made.text == "fjord acorn plume dune thicket yarrow lagoon dune"
    assert made.steps[0] == 'Remove every word that contains the letter "n".'
    assert made.expected_answer == "fjord plume yarrow thicket"
