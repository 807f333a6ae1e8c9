"""Rows that lack what they are scored by are refused, and not scored."""

import asyncio
import json

import pytest

import athlos
from athlos import ConfigError, Task
from athlos.envs.math_with_judge import MathWithJudge
from athlos.envs.needed import needs
from athlos.registry import listing
from athlos.rows import row_to_task
from athlos.testing import scripted

LIBRARY = [entry.name for entry in listing() if entry.source == "library"]
# the environment -> why a row without any field is a task of it, or who refuses it
EXCEPTIONS = {
    "blackjack": "a row without a seed is dealt from the attempt's own",
    "code_gen": "it looks at the tests of a row itself",
    "human_eval": "it looks at the fields of a row itself",
}


@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in EXCEPTIONS])
def test_a_row_without_fields_is_refused_by_name(name):
    env = athlos.load(name)
    for row in (
        {"prompt": "?", "expected_anwser": 1},
        {"responses_create_params": {"input": "?"}, "verifier_metadata": {"expected_anwser": 1}},
    ):
        with pytest.raises(ConfigError, match=rf"^{name}: the row has no `\w+`") as caught:
            env.from_row(row)
        assert "found: 'expected_anwser'." in caught.value.hint


@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in EXCEPTIONS])
def test_so_is_a_task_that_was_made_in_another_way(name):
    env = athlos.load(name)
    with pytest.raises(ConfigError, match=f"^{name}: the row has no"):
        env(Task("?"), config=env.make_config()).setup()


@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in EXCEPTIONS])
def test_its_own_tasks_have_them(name):
    env = athlos.load(name)
    task = next(iter(env.tasks(env.make_config(), "test")))
    assert env.from_row({"prompt": "?", "info": task.info}).info.keys() >= task.info.keys()


def test_a_file_of_tasks_is_refused_before_a_model_is_asked(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": "?", "expected_answers": []}, {"prompt": "?", "expectd_answers": []}]
    file.write_text("\n".join(map(json.dumps, rows)))
    collection = athlos.collect("xlam_fc", scripted("hello world"), tasks=file)
    with pytest.raises(ConfigError, match=r"rows.jsonl:2: xlam_fc: .*`expected_answers` or"):
        asyncio.run(collection.run())


def test_null_is_as_good_as_absent():
    with pytest.raises(ConfigError, match="`expected_answer`"):
        athlos.load("math").from_row({"prompt": "?", "expected_answer": None})


def test_a_class_beneath_names_itself_and_its_own_fields():
    @needs("expected_answer", "a|b")
    class Beneath(MathWithJudge):
        """Needs more."""

    with pytest.raises(ConfigError, match="Beneath: the row has no `expected_answer`, `a` or `b`"):
        Beneath.from_row({"prompt": "?"})
    assert Beneath.from_row({"prompt": "?", "expected_answer": 1, "b": 0}).info["b"] == 0
    assert Beneath.from_row is not MathWithJudge.from_row is not row_to_task
