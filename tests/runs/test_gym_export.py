"""A run as NeMo Gym's files: rows, failures, inputs and figures."""

import io
import json
import math

import pytest
from tests.runs.stored import failed, store
from tests.sequences.rollouts import call, rollout

from athlos import ConfigError, Message, Task, ToolCall
from athlos.responses import read_items
from athlos.rows import row_to_task
from athlos.runs.export import export
from athlos.runs.gym_export import gym_row
from athlos.runs.gym_metrics import describe, numbers
from athlos.types import FunctionCall, Usage

CHAT = [
    Message("user", "?"),
    Message(
        "assistant",
        reasoning_content="so",
        tool_calls=[ToolCall("c", FunctionCall("add", '{"amount": 2}'))],
    ),
    Message("tool", "2", tool_call_id="c"),
    Message("assistant", "Done."),
]


def one(task, sample, **fields):
    calls = [
        call([1], [2, 3], prompt_messages=1),
        call([1, 2, 3, 4], [5], prompt_messages=3, finish_reason="stop"),
    ]
    given = {"id": f"{task}.{sample}.0", "task_id": task, "sample": sample, "messages": CHAT}
    return rollout(
        *calls,
        **(given | {"usage": Usage(5, 3), "rewards": {"reached": 1.0, "brief": 0.5}} | fields),
    )


def files(tmp_path, *records, **changes):
    run = store(tmp_path / "run", *records, **changes)
    out = tmp_path / "r.jsonl"
    done = export(run, out, format="nemo-gym")
    names = ("r", "r_failures", "r_materialized_inputs")
    rows = [
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in names
    ]
    return *rows, json.loads((tmp_path / "r_aggregate_metrics.json").read_text()), done


def test_there_is_a_row_for_each_rollout_and_each_failed_attempt(tmp_path):
    rollouts, failures, inputs, _, done = files(
        tmp_path,
        one("b", 1, reward=0.5, attempt=1),
        failed("b", 1),
        one("a", 0, reward=1.0),
        failed("a", 1, failure_class="cancelled"),
        failed("b", 0),
    )
    places = [(row["_ng_task_index"], row["_ng_rollout_index"], row["reward"]) for row in rollouts]
    assert places == [(1, 1, 0.5), (0, 0, 1.0)]
    assert [row.get("_ng_attempt_index") for row in rollouts] == [1, None]
    assert all(row["agent_ref"]["name"] == "athlos" for row in rollouts)
    assert [(row["task_id"], row["_ng_failure_class"]) for row in failures] == [
        ("b", "timeout"),
        ("b", "timeout"),
    ]
    assert all("reward" not in row for row in failures)
    assert [(row["task_id"], row["_ng_rollout_index"]) for row in inputs] == [
        ("a", 0), ("a", 1), ("b", 0), ("b", 1),
    ]  # fmt: skip
    assert (done.rows, done.failures) == (2, 2)


def test_the_trajectory_is_a_response_with_the_tokens_on_the_last_item_of_a_call(tmp_path):
    (row,), *_ = files(tmp_path, one("a", 0, reward=1.0, metrics={"calls": 1.0}))
    assert row["responses_create_params"]["input"] == [
        {"type": "message", "role": "user", "content": "?"}
    ]
    made = row["response"]
    kinds = [item["type"] for item in made["output"]]
    assert kinds == ["reasoning", "function_call", "function_call_output", "message"]
    assert [sorted(item.keys() & {"prompt_token_ids"}) for item in made["output"]] == [
        [], ["prompt_token_ids"], [], ["prompt_token_ids"],
    ]  # fmt: skip
    assert made["output"][1]["generation_token_ids"] == [2, 3]
    assert len(made["output"][3]["generation_log_probs"]) == 1
    assert made["usage"]["total_tokens"] == 8
    assert (row["reached"], row["brief"], row["calls"]) == (1.0, 0.5, 1.0)
    assert list(read_items(made["output"])) == CHAT[1:]


def test_tokens_are_all_or_nothing(tmp_path):
    record = one("a", 0)
    record.calls[0].logprobs = None
    record.calls[1].complete = False
    (row,), *_ = files(tmp_path, record)
    assert not any("prompt_token_ids" in item for item in row["response"]["output"])


def test_what_setup_said_is_part_of_the_input(tmp_path):
    record = rollout(
        call([1], [2], prompt_messages=2),
        task_id="a",
        messages=[
            Message("user", "?"),
            Message("user", "The board: ..."),
            Message("assistant", "x"),
        ],
    )
    (row,), _, (wanted, _), _, _ = files(tmp_path, record)
    assert len(row["responses_create_params"]["input"]) == 2
    assert len(wanted["responses_create_params"]["input"]) == 1
    assert [item["type"] for item in row["response"]["output"]] == ["message"]


def test_a_row_of_theirs_comes_back_as_it_was():
    row = {
        "responses_create_params": {
            "input": "Hi",
            "tools": [{"name": "add"}],
            "metadata": {"a": "b"},
        },
        "verifier_metadata": {"x": 1},
        "agent_ref": {"name": "mine"},
        "_ng_task_index": 7,
        "y": 2,
    }
    task = Task("Hi", info=row, id="t")
    sampling = {"temperature": 0.5, "max_tokens": 3, "top_k": 2}
    made = gym_row(task, sampling)
    params = made.pop("responses_create_params")
    assert json.loads(params["metadata"].pop("extra_body")) == {"top_k": 2}
    assert params == {
        "input": "Hi", "tools": [{"name": "add"}], "metadata": {"a": "b"}, "temperature": 0.5,
        "max_output_tokens": 3,
    }  # fmt: skip
    del row["responses_create_params"]
    assert made == row | {"task_id": "t"}


def test_a_task_of_ours_becomes_a_row():
    task = Task([Message("system", "s"), Message("user", "u")], info={"answer": 4}, id="t")
    assert gym_row(task, {}) == {
        "responses_create_params": {
            "input": [
                {"type": "message", "role": "system", "content": "s"},
                {"type": "message", "role": "user", "content": "u"},
            ]
        },
        "verifier_metadata": {"answer": 4},
        "task_id": "t",
    }


ADD = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("offered", "tools", "expected"),
    [
        (None, {"add": {"type": "function", "function": ADD}}, [ADD]),
        (["add"], {"add": {"function": ADD}, "sub": {"function": ADD}}, [ADD]),
        ([], {"add": {"function": ADD}}, []),
        ([], {}, []),
    ],
)
def test_a_row_of_ours_has_the_tools_that_its_task_offers(offered, tools, expected):
    row = gym_row(Task("u", tools=offered), {}, tools)
    made = row["responses_create_params"]["tools"]
    assert made == [{"type": "function", "strict": False, **tool} for tool in expected]
    assert row_to_task(row).tools == [tool["name"] for tool in expected]


def test_a_row_of_ours_says_nothing_of_tools_that_nobody_knows():
    assert "tools" not in gym_row(Task("u"), {}, {})["responses_create_params"]
    assert "tools" not in gym_row(Task("u", tools=["add"]), {})["responses_create_params"]


def test_figures_are_over_all_rollouts_and_over_those_of_a_task(tmp_path):
    *_, (entry,), _ = files(
        tmp_path, one("a", 0, reward=1.0), one("a", 1, reward=0.0), one("b", 0, reward=1.0)
    )
    assert entry["agent_ref"] == {"name": "athlos"}
    assert entry["key_metrics"]["mean/reward"] == pytest.approx(2 / 3)
    assert entry["agent_metrics"]["std/reward"] == pytest.approx(math.sqrt(1 / 3))
    assert entry["agent_metrics"]["median/total_tokens"] == 8
    first, second = entry["group_level_metrics"]
    assert (first["num_rollouts"], second["missing_num_rollouts"]) == (2, 1)
    assert second["reward_profile_completion_pct"] == 50.0
    assert second["std/reward"] == 0
    assert [info["rollout_id"] for info in first["rollout_infos"]] == ["0:0", "0:1"]


def test_figures_are_those_of_pandas():
    rows = [{"a": 1.0, "b": 2.0}, {"a": 3.0}, {"a": 2.0, "b": 5.0, "c": 1.0}]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame.from_records(rows)
    ours = describe(rows)
    for name in ("mean", "max", "min", "median", "std"):
        for column, value in getattr(frame, name)().items():
            found = ours.get(f"{name}/{column}")
            assert found == pytest.approx(value) if pandas.notna(value) else found is None


def test_truth_values_count_as_numbers():
    row = {"a": True, "b": "x", "c": 0.5, "_ng_task_index": 3, "response": {"usage": {"t": 4}}}
    assert numbers(row) == {"a": 1, "c": 0.5, "t": 4}


def test_the_files_need_a_name_outside_of_the_run(tmp_path):
    run = store(tmp_path / "run", one("a", 0))
    with pytest.raises(ConfigError, match="several files"):
        export(run, io.BytesIO(), format="nemo-gym")
    with pytest.raises(ConfigError, match=r"must end in \.jsonl"):
        export(run, tmp_path / "a.parquet", format="nemo-gym")
    with pytest.raises(ConfigError, match="in the run's own folder"):
        export(run, run / "r.jsonl", format="nemo-gym")
    with pytest.raises(ConfigError, match="no run folder"):
        export(tmp_path, tmp_path / "x" / "r.jsonl", format="nemo-gym")
