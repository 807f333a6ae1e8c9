"""Golden cases of `bird_sql`."""

import json
from itertools import islice

import pytest
from tests.envs.databases import fenced, write
from tests.envs.golden import play, play_all, reward
from tests.envs.steps import HOSTILE

import athlos
from athlos import Message, Task
from athlos.quality import check_environment

DOGS = "SELECT name FROM pets WHERE kind = 'dog'"
KINDS = "SELECT kind, COUNT(*) FROM pets GROUP BY kind"
NOBODY = "SELECT name FROM pets WHERE kind = 'cow'"
ONE = "SELECT COUNT(*) FROM pets WHERE kind = 'owl'"
WEIGHT = "SELECT weight FROM pets WHERE id = 1"

CASES = [  # expected query, answer, reward, reason
    (DOGS, fenced(DOGS), 1, "none"),
    (DOGS, fenced("SELECT 'Cy' UNION SELECT 'Bo'"), 1, "none"),  # order does not matter
    (DOGS, fenced("SELECT a.name FROM pets a, pets b WHERE a.kind = 'dog'"), 1, "none"),
    (DOGS, fenced("SELECT name FROM pets"), 0, "execution_error"),
    (DOGS, fenced("SELECT 'Bo'"), 0, "execution_error"),
    (DOGS, fenced("SELECT name, kind FROM pets WHERE kind = 'dog'"), 0, "execution_error"),
    (KINDS, fenced("SELECT COUNT(*), kind FROM pets GROUP BY 2"), 0, "execution_error"),
    (KINDS, fenced("SELECT kind, SUM(1.0) FROM pets GROUP BY 1"), 1, "none"),  # 2.0 is 2
    (WEIGHT, fenced("SELECT 4"), 1, "none"),
    (WEIGHT, fenced("SELECT 4.004"), 0, "execution_error"),  # no tolerance
    (WEIGHT, fenced("SELECT '4.0'"), 0, "execution_error"),  # a text is no number
    (DOGS, f"{fenced('SELECT 2')} Or rather:\n{fenced(DOGS)}", 1, "none"),  # the last counts
    (DOGS, f"{fenced(DOGS)}\n{fenced('SELECT 2')}", 0, "execution_error"),
    (DOGS, fenced("SELECT name -- of dogs\nFROM pets WHERE kind = 'dog'"), 0, "execution_error"),
    (DOGS, fenced("SELECT name /* of\ndogs */ FROM pets WHERE\tkind = 'dog';"), 1, "none"),
    (DOGS, f"```sql**Query** {DOGS}```", 1, "none"),
    (DOGS, f"```\n{DOGS}\n```", 0, "no_sql_extracted"),
    (DOGS, f"```SQL\n{DOGS}\n```", 0, "no_sql_extracted"),
    (DOGS, DOGS, 0, "no_sql_extracted"),
    (DOGS, f"```sql\n{DOGS}", 0, "no_sql_extracted"),
    (DOGS, fenced("SELEC name"), 0, "execution_error"),
    (DOGS, fenced("SELECT nobody FROM pets"), 0, "execution_error"),
    (DOGS, fenced(f"{DOGS}; {DOGS}"), 0, "execution_error"),
    (ONE, "I do not know.", 1, "none"),  # no query is SELECT 1
    (ONE, "", 0, "no_sql_extracted"),
    (ONE, fenced("SELECT 2"), 0, "execution_error"),
    (NOBODY, fenced("SELECT 1 FROM pets WHERE 0"), 1, "none"),
    (NOBODY, fenced("DELETE FROM pets"), 0, "execution_error"),
    (NOBODY, fenced("CREATE TABLE x (y)"), 0, "execution_error"),
    (NOBODY, fenced("SELECT 'x'"), 0, "execution_error"),
    ("SELECT nobody FROM pets", fenced(DOGS), 0, "gold_execution_error"),
    ("SELECT age FROM pets", fenced("SELECT age FROM pets WHERE id != 4"), 1, "none"),  # NULL
    (DOGS, fenced("SELECT 'x' || char(0)"), 0, "execution_error"),
    (DOGS, fenced("SELECT '\x00'"), 0, "execution_error"),
]  # fmt: skip


def row(sql, **fields):
    return {"question": "?", "gt_sql": sql, "db_id": "pets", "difficulty": "simple", **fields}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("databases"))


def test_golden_cases(folder):
    rollouts = play_all(
        "bird_sql", [(row(sql), answer) for sql, answer, *_ in CASES], databases=folder
    )
    for (sql, answer, expected, reason), rollout in zip(CASES, rollouts, strict=True):
        assert rollout.reward == expected, (sql, answer)
        assert rollout.extra["failure_reason"] == reason, (sql, answer)


def test_what_is_right_nowhere(folder):
    cases = [(row(DOGS), text) for text in HOSTILE]
    cases += [(row(DOGS), fenced(text)) for text in HOSTILE]
    for (_, text), rollout in zip(
        cases, play_all("bird_sql", cases, databases=folder), strict=True
    ):
        assert rollout.reward == 0, text


def test_all_text_is_read_but_for_a_thought_that_does_not_end(folder):
    cases = [
        (row(DOGS), f"<think>{fenced(DOGS)}</think>"),
        (row(DOGS), f"<think>{fenced(DOGS)}"),
        (row(DOGS), Message("assistant", "So.", reasoning_content=fenced(DOGS))),
    ]
    rollouts = play_all("bird_sql", cases, databases=folder)
    assert [rollout.reward for rollout in rollouts] == [1, 0, 0]


def test_what_is_measured_and_recorded(folder):
    rollout = play(
        "bird_sql", Task("?", row(DOGS, difficulty="challenging")), fenced(DOGS), databases=folder
    )
    assert rollout.extra["extracted_sql"] == DOGS
    assert rollout.extra["had_codeblock"] and rollout.extra["execution_match"]
    assert rollout.metrics["accuracy_challenging"] == 1
    assert rollout.metrics.get("accuracy_simple") is None


def test_databases_may_have_folders_of_their_own(tmp_path):
    folder = write(tmp_path, nested=True)
    assert reward("bird_sql", row(DOGS), fenced(DOGS), databases=folder) == 1


@pytest.mark.parametrize("name", ["bird_sql", "spider2_lite"])
def test_a_time_limit_that_is_none_is_refused_with_the_settings(name):
    for seconds in (0, 100):
        with pytest.raises(athlos.ConfigError, match="sql_execution_timeout_s must be above 0"):
            athlos.load(name).make_config({"sql_execution_timeout_s": seconds})


@pytest.mark.parametrize(
    ("info", "config", "why"),
    [
        (row(DOGS, db_id="../pets"), {}, "no database"),
        (row(DOGS, db_id="shop-40"), {}, "no database"),
        (row(DOGS, db_id=None), {}, "db_id"),
        ({"db_id": "shop-1"}, {}, "gt_sql"),
    ],
)
def test_a_row_that_cannot_be_verified_fails_before_a_model_is_asked(folder, info, config, why):
    env = athlos.load("bird_sql")
    one = env(Task("?", info), config=env.make_config({"databases": folder, **config}))
    with pytest.raises(athlos.ConfigError, match=why):
        one.setup()


def test_generated_tasks_name_their_difficulty_and_have_results_worth_asking_for():
    env = athlos.load("bird_sql")
    tasks = list(islice(env.tasks(env.make_config(), "train"), 120))
    assert {task.info["difficulty"] for task in tasks} == {"simple", "moderate", "challenging"}
    assert len({task.info["topic"] for task in tasks}) > 15
    assert len({json.dumps(task.info) for task in tasks}) == 120
    wrong = play_all("bird_sql", [(task, fenced("SELECT 1")) for task in tasks[:20]])
    right = play_all("bird_sql", [(task, env(task).oracle()) for task in tasks[:20]])
    assert {rollout.reward for rollout in wrong} == {0}
    assert {rollout.reward for rollout in right} == {1}


def test_the_gate_finds_nothing():
    check_environment("bird_sql", limit=3, processes=0, compared=30).assert_passed(warnings=True)
