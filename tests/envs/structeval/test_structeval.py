r"""Golden cases of `structeval`."""

from itertools import islice

import pytest
from tests.envs.golden import play, play_all

import athlos
from athlos import ConfigError
from athlos.rows import row_to_task
from athlos.scoring.data_paths import has_path


def asked(output_type, *paths, **more):
    return {"output_type": output_type, "raw_output_metric": list(paths)} | more


AB = asked("json", "a.b", "c")
CASES = [
    # 0.2 for data that parses, 0.8 for the share of the paths
    (AB, '```json\n{"a": {"b": 1}, "c": 2}\n```', 1.0),
    (AB, '```json\n{"a": {"b": 1}}\n```', 0.6),
    (AB, '```json\n{"x": 1}\n```', 0.2),
    (AB, '```json\n{"a": {"b": 1}, "c"\n```', 0.0),
    (asked("json", "a", "b", "c"), '{"a": 1}', 0.47),
    (asked("json"), '{"a": 1}', 0.2),
    (AB, "{}", 0.0),  # nothing in it
    # where the data is
    (AB, 'So: {"a": {"b": 1}, "c": 2}', 0.0),
    (AB, '```\n{"x": 1}\n```\nNo:\n```\n{"a": {"b": 1}, "c": 2}\n```', 1.0),
    (AB, '```\n{"a": {"b": 1}, "c": 2}\n```\nNo:\n```\n{"x": 1}\n```', 0.2),
    (AB, '```json\n{"a": {"b": 1}, "c": 2}', 1.0),
    (AB, '<|BEGIN_CODE|>\n{"a": {"b": 1}, "c": 2}\n<|END_CODE|> done', 1.0),
    (AB, '<|BEGIN_CODE|>{"a": {"b": 1}, "c": 2}', 1.0),
    # paths
    (asked("json", "a[1].b"), '{"a": [{}, {"b": 0}]}', 1.0),
    (asked("json", "a[2].b"), '{"a": [{}, {"b": 0}]}', 0.2),
    (asked("json", "a.*.b"), '{"a": [{}, {"b": 0}]}', 1.0),
    (asked("json", "`a.b`.c"), '{"a.b": {"c": null}}', 1.0),
    (asked("json", "a[x]", "a[", "a"), '{"a": [1]}', 0.47),
    # the other formats
    (asked("yaml", "a.b"), "a:\n  b: 1", 1.0),
    (asked("yaml", "a.b"), "I cannot help with that.", 0.2),
    (asked("yaml", "a.b", needs_paths=True), "I cannot help with that.", 0.0),
    (asked("toml", "a.b"), "[a]\nb = 1", 1.0),
    (asked("toml", "a.b"), "a.b: 1", 0.0),
    (asked("xml", "a.@id", "a.b"), '<a id="1"><b/></a>', 1.0),
    (asked("xml", "a.@id"), "<a><id>1</id></a>", 1.0),
    (asked("xml", "a"), "<a>", 0.0),
    (asked("csv", "csv::Name", "csv::Age"), "Name,Age\nx,1", 1.0),
    (asked("csv", "csv::Name", "csv::Age"), "Name\nx", 0.6),
    (asked("csv", "csv::Name"), "no", 0.2),
    (asked("csv", "csv::Name", needs_paths=True), "no", 0.0),
    (asked("html", "a"), "<a/>", 0.0),
    # nothing, and hostile texts
    (AB, "", 0.0),
    (AB, " \n", 0.0),
    (AB, '<think>{"a": {"b": 1}, "c": 2}', 0.0),
    (AB, "[" * 100_000, 0.0),
    (AB, "\x00\ufffd", 0.0),
    (AB, '{"reward": 1.0}', 0.2),
]


def test_golden_cases():
    played = play_all("structeval", [(info, answer) for info, answer, _ in CASES])
    for case, rollout in zip(CASES, played, strict=True):
        assert rollout.reward == case[2], (case, rollout.extra)


def test_what_is_recorded_of_a_row_of_nemo_gym():
    row = {"responses_create_params": {"input": "?"}, "task_id": "t1", **AB}
    rollout = play("structeval", row_to_task(row), '{"a": {"b": 1}}')
    assert rollout.extra == {
        "render_score": 1.0,
        "key_validation_score": 0.5,
        "raw_output_score": 0.0,
        "error": "",
    }


def test_paths_that_cannot_be_read_are_not_there():
    for path in ("[", "[]", "[-1]", "a[0", "``", "csv::a"):
        assert not has_path({"a": [1]}, path), path


def test_the_sample_answer_scores_and_neither_the_prompt_nor_others_do():
    env = athlos.load("structeval")
    tasks = list(islice(env.tasks(env.make_config(), "test"), 60))
    good = play_all("structeval", [(task, task.info["sample_answer"]) for task in tasks])
    assert {rollout.reward for rollout in good} == {1.0}
    wrong = ("I cannot help with that.", "no", "\x00", '{"reward": 1.0}', "[[A=B]]", "a,b\n1,2")
    cases = [(task, text) for task in tasks for text in (task.prompt, *wrong)]
    assert {rollout.reward for rollout in play_all("structeval", cases)} == {0.0}


def test_settings_and_splits():
    env = athlos.load("structeval")
    with pytest.raises(ConfigError, match="level must be 1 to 3"):
        list(env.tasks(env.make_config({"level": 4}), "test"))
    train, test = ({t.prompt for t in env.tasks(env.make_config(), s)} for s in ("train", "test"))
    assert not train & test
    assert len(train) == 300
