r"""Golden cases of `instruction_following`."""

from itertools import islice

import pytest
from tests.envs.golden import play, play_all, reward

import athlos
from athlos import ConfigError, Message
from athlos.envs.directives import USELESS
from athlos.rows import row_to_task


def asked(*instructions, **more):
    return {
        "instruction_id_list": [name for name, _ in instructions],
        "kwargs": [kwargs for _, kwargs in instructions],
        "prompt": "Write something.",
    } | more


COMMA = ("punctuation:no_comma", None)
TITLE = ("detectable_format:title", {})
WORDS = ("length_constraints:number_words", {"num_words": 3, "relation": "at least", "N": None})

# one group for each rule
CASES = [
    # binary is the default: all or nothing
    (asked(COMMA, TITLE), "<<Rain>>\nIt rains.", 1),
    (asked(COMMA, TITLE), "It rains.", 0),
    (asked(COMMA, TITLE), "<<Rain>>\nIt rains, again.", 0),
    # fraction: the share
    (asked(COMMA, TITLE, grading_mode="fraction"), "It rains.", 0.5),
    (asked(COMMA, TITLE, grading_mode="fraction"), "<<Rain>>", 1),
    (asked(COMMA, TITLE, grading_mode="fraction"), "a, b", 0),
    # null members are dropped
    (asked(WORDS), "one two three", 1),
    (asked(WORDS), "one two", 0),
    # unknown instructions, and arguments that do not fit, are not followed
    (asked(COMMA, ("nothing:like_this", {}), grading_mode="fraction"), "x", 0.5),
    (asked(("punctuation:no_comma", {"count": 3})), "x", 0),
    (asked(("length_constraints:number_words", {"num_words": "3"})), "a b c d", 0),
    (asked(("keywords:existence", {"keywords": ["("]})), "(", 0),
    (asked(("keywords:existence", {"keywords": []})), "anything", 0),
    (asked(("length_constraints:number_words", {"num_words": 1, "relation": "x"})), "a b", 0),
    # nothing asked, nothing said
    (asked(), "x", 0),
    ({"instruction_id_list": []}, "x", 0),
    (asked(COMMA), "", 0),
    (asked(COMMA), "  \n", 0),
    # hostile
    (asked(COMMA), "<think>no comma here", 0),
    (asked(COMMA), "<think>one, two</think>three", 0),
    (asked(TITLE), "\x00\ufffd", 0),
    # families beside those of IFEval
    (asked(("first_word:first_word_answer", {"first_word": "Rain"})), "rain falls", 1),
    (asked(("words:no_consecutive", {})), "big cats", 1),
    (asked(("format:output_template", {})), "My Answer: a", 0),
]


def test_golden_cases():
    played = play_all("instruction_following", [(info, answer) for info, answer, _ in CASES])
    for case, rollout in zip(CASES, played, strict=True):
        assert rollout.reward == case[2], case


def test_both_places_of_a_row_and_the_nested_one_wins():
    row = {
        "responses_create_params": {"input": "?"},
        **asked(TITLE),
        "verifier_metadata": asked(COMMA),
    }
    rollout = play("instruction_following", row_to_task(row), "no title")
    assert rollout.reward == 1
    assert rollout.extra == {"follow_instruction_list": [True], "follow_all_instructions": True}
    del row["verifier_metadata"]
    assert play("instruction_following", row_to_task(row), "no title").reward == 0


def test_the_grading_mode_may_be_a_setting():
    info = asked(COMMA, TITLE)
    assert reward("instruction_following", info, "x", grading_mode="fraction") == 0.5


def test_the_first_text_of_the_last_message_is_read():
    parts = [{"type": "text", "text": "a title"}, {"type": "text", "text": "<<b>>"}]
    said = Message("assistant", parts)
    assert reward("instruction_following", asked(TITLE), said) == 0
    assert reward("instruction_following", asked(TITLE), Message("assistant", parts[::-1])) == 1


def test_a_check_without_end_is_wrong_and_says_so(monkeypatch):
    env = athlos.load("instruction_following")
    monkeypatch.setattr(env, "scorers", tuple(s._replace(timeout=2.0) for s in env.scorers))
    info = asked(("keywords:existence", {"keywords": ["(a+)+$"]}))
    rollout = play("instruction_following", athlos.Task("?", info), "a" * 60 + "b")
    assert (rollout.reward, rollout.extra["timed_out"]) == (0.0, ["followed"])


def test_the_sample_answer_scores_and_neither_the_prompt_nor_useless_answers_do():
    env = athlos.load("instruction_following")
    tasks = list(islice(env.tasks(env.make_config(), "test"), 15))
    good = play_all("instruction_following", [(task, task.info["sample_answer"]) for task in tasks])
    assert {rollout.reward for rollout in good} == {1.0}
    wrong = [(task, answer) for task in tasks for answer in ("", task.prompt, *USELESS)]
    assert {rollout.reward for rollout in play_all("instruction_following", wrong)} == {0.0}


def test_levels_and_splits():
    env = athlos.load("instruction_following")
    with pytest.raises(ConfigError, match="no level 6"):
        list(env.tasks(env.make_config({"level": 6}), "test"))
    config = env.make_config({"level": 3, "size": 100})
    train, test = (list(env.tasks(config, split)) for split in ("train", "test"))
    assert {len(task.info["kwargs"]) for task in train} == {3}
    assert not {task.prompt for task in train} & {task.prompt for task in test}
