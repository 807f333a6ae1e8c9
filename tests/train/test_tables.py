"""Which task a prompt is of."""

import pytest
from tests.train.runs import Told

from athlos import ConfigError, Task
from athlos.train.tables import TaskTable

ROWS = [
    {"prompt": "What is 2 + 2?", "answer": "4", "level": 1},
    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
     "answer": "Hello"},
]  # fmt: skip


def test_all_columns_of_a_row_reach_the_task():
    table = TaskTable(Told, ROWS)
    assert table.find("What is 2 + 2?").info == {"answer": "4", "level": 1}
    assert table.find(ROWS[1]["prompt"]).info == {"answer": "Hello"}


def test_empty_fields_that_a_table_has_added_do_not_matter():
    table = TaskTable(Told, ROWS)
    [system, user] = ROWS[1]["prompt"]
    found = table.find([{**system, "name": None, "tool_calls": None}, user])
    assert found.info["answer"] == "Hello"


def test_messages_of_a_table_may_have_empty_fields_when_the_tasks_are_made():
    prompt = [{"role": "user", "content": "Hi", "name": None, "tool_calls": None}]
    table = TaskTable(Told, [{"prompt": prompt, "answer": None}])
    assert table.find(prompt).info == {"answer": None}


def test_the_tasks_of_the_environment_are_rows_that_are_found_again():
    table = TaskTable(Told, limit=3)
    rows = table.rows()
    assert [row["task_id"] for row in rows] == ["t0", "t1", "t2"]
    assert [table.find(row["prompt"]).id for row in rows] == ["t0", "t1", "t2"]


def test_tasks_with_one_prompt_are_told_apart_by_a_mark():
    table = TaskTable(Told, [Task("Guess.", {"n": 1}), Task("Guess.", {"n": 2})])
    assert [table.find(row["prompt"]).info["n"] for row in table.rows()] == [1, 2]
    with pytest.raises(ConfigError, match=r"several tasks have this prompt: Guess\."):
        table.find("Guess.")


def test_what_is_not_there_is_said():
    table = TaskTable(Told, ROWS)
    with pytest.raises(ConfigError, match="no task has this prompt: What is 3"):
        table.find("What is 3 + 3?")
    with pytest.raises(ConfigError, match="no task 'x'"):
        table.find([{"role": "user", "content": "Hi", "task_id": "x"}])
    with pytest.raises(ConfigError, match="row 1: the task has no prompt"):
        TaskTable(Told, [ROWS[0], {"answer": "4"}])
