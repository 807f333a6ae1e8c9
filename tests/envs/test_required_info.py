"""Rows that lack what they are scored by are refused, and not scored."""

import asyncio
import json

import pytest

import athlos
from athlos import ConfigError, Task
from athlos.registry import listing
from athlos.rows import check_info
from athlos.testing import scripted

LIBRARY = [entry.name for entry in listing() if entry.source == "library"]
# the environment -> why a row without any field is a task of it, or who refuses it
EXCEPTIONS = {
    "blackjack": "a row without a seed is dealt from the attempt's own",
    "code_gen": "it looks at the tests of a row itself",
    "human_eval": "it looks at the fields of a row itself",
}
NEEDING = [name for name in LIBRARY if name not in EXCEPTIONS]


@pytest.mark.parametrize("name", NEEDING)
def test_a_task_without_fields_is_refused_by_name(name):
    collection = athlos.collect(name, scripted("hello"), tasks=[Task("?", {"expectd": 1})])
    with pytest.raises(ConfigError, match=r"the row has no `\w+`") as caught:
        asyncio.run(collection.run())
    assert "there is 'expectd'." in caught.value.hint


@pytest.mark.parametrize("name", NEEDING)
def test_its_own_tasks_have_them(name):
    env = athlos.load(name)
    task = next(iter(env.tasks(env.make_config(), "test")))
    check_info(task, env.required_info)
    assert env.required_info


def test_a_file_of_tasks_is_refused_before_a_model_is_asked(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": "?", "expected_answers": []}, {"prompt": "?", "expectd_answers": []}]
    file.write_text("\n".join(map(json.dumps, rows)))
    collection = athlos.collect("xlam_fc", scripted("hello world"), tasks=file)
    with pytest.raises(ConfigError, match=r"rows.jsonl:2: the row has no `expected_answers` or"):
        asyncio.run(collection.run())


def test_null_is_as_good_as_absent_and_one_of_several_is_enough():
    with pytest.raises(ConfigError, match="has no `answer`, `a` or `b`"):
        check_info(Task("?", {"answer": None, "c": 1}), ("answer", "a|b"))
    check_info(Task("?", {"answer": 0, "b": False}), ("answer", "a|b"))
