"""`athlos export` as a command."""

import json

import pytest
from tests.runs.stored import failed, store
from tests.sequences.rollouts import call, rollout


@pytest.fixture
def run(tmp_path):
    return store(
        tmp_path / "a",
        rollout(call([1], [2, 3]), call([1, 2, 9], [4]), id="x.0.0", task_id="x", reward=1.0),
        rollout(call([1], [2], complete=False), id="x.1.0", task_id="x", sample=1),
        failed("y", 0),
    )


def test_help_has_examples(athlos):
    said = athlos("export", "--help").stdout
    assert "athlos export runs/a --advantages grpo --out train.parquet" in said


def test_sequences_go_to_standard_output(athlos, run):
    said = athlos("export", "a", "--advantages", "centered")
    assert said.returncode == 0, said.stderr
    assert [json.loads(line)["advantage"] for line in said.stdout.splitlines()] == [0.5, 0.5]
    assert said.stderr == (
        "2 sequences of 2 rollouts; not trained: 1 tokens of 1 calls (incomplete 1); "
        "1 rollouts have no sequence; 1 samples failed\n"
    )


def test_a_file_by_its_name(athlos, run, tmp_path):
    said = athlos("export", "a", "--policy", "realign", "--window", 1, "--out", "b.jsonl")
    assert said.returncode == 0, said.stderr
    assert said.stdout == ""
    assert "1 sequences of 2 rollouts in b.jsonl" in said.stderr
    [row] = map(json.loads, (tmp_path / "b.jsonl").read_text().splitlines())
    assert row["token_ids"] == [1, 2, 9, 4]


def test_messages(athlos, run):
    said = athlos("export", "a", "--format", "messages")
    assert [json.loads(line)["reward"] for line in said.stdout.splitlines()] == [1.0, 0.0]
    assert said.stderr == "2 conversations of 2 rollouts; 1 samples failed\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", 3], "--window is for --policy realign"),
        (["--format", "messages", "--policy", "fork"], "are for --format sequences"),
        (["--out", "b.txt"], "b.txt must end in .jsonl or .parquet"),
        (["--policy", "frok"], "'frok' is not one of"),
    ],
)
def test_mistakes(athlos, run, arguments, message):
    said = athlos("export", "a", *arguments)
    assert said.returncode == 2
    assert message in said.stderr
    assert said.stdout == ""


def test_a_broken_rule_names_the_call(athlos, run):
    said = athlos("export", "a", "--policy", "strict")
    assert said.returncode == 1
    assert "rollout x.0.0, call 1: its prompt does not begin" in said.stderr
    assert "--skip-broken leaves such rollouts out" in said.stderr
    assert "Traceback" not in said.stderr


def test_broken_rollouts_are_left_out_and_named(athlos, tmp_path):
    store(
        tmp_path / "a",
        rollout(call([1], [2, 3]), call([1, 2, 9], [4]), id="x.0.0", task_id="x"),
        rollout(call([1], [2]), id="x.1.0", task_id="x", sample=1),
    )
    said = athlos("export", "a", "--policy", "strict", "--skip-broken")
    assert said.returncode == 0
    assert [json.loads(line)["rollout_id"] for line in said.stdout.splitlines()] == ["x.1.0"]
    assert "left out: rollout x.0.0, call 1: its prompt does not begin" in said.stderr
    assert "1 rollouts left out, whose tokens contradict each other" in said.stderr
