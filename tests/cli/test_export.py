"""`athlos export` as a command."""

import json

import pytest
from click.testing import CliRunner
from tests.runs.stored import failed, store
from tests.sequences.rollouts import call, rollout

from athlos import Message
from athlos.cli.export import command


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


def test_the_files_of_nemo_gym_are_named(run, tmp_path):
    out = str(tmp_path / "b.jsonl")
    for _ in range(2):  # a second time writes over the first
        said = CliRunner().invoke(command, [str(run), "--format", "nemo-gym", "--out", out])
    assert said.stderr == (
        f"2 rows of 2 rollouts in {out}; beside it: b_failures.jsonl, "
        "b_materialized_inputs.jsonl, b_aggregate_metrics.json; 1 attempts failed\n"
    )
    assert len(list(tmp_path.glob("b*.json*"))) == 4


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


def test_pairs_for_a_trainer(athlos, tmp_path):
    asked = {"task_id": "x", "messages": [Message("user", "?"), Message("assistant", "!")]}
    store(
        tmp_path / "a",
        rollout(call([1], [2]), id="x.0.0", reward=1.0, **asked),
        rollout(call([1], [2]), id="x.1.0", sample=1, **asked),
        rollout(call([1], [2]), id="x.2.0", sample=2, **asked),
        samples=3,
    )
    said = athlos("export", "a", "--format", "dpo", "--margin", 0.5)
    assert said.returncode == 0, said.stderr
    [row] = map(json.loads, said.stdout.splitlines())
    assert (row["chosen_id"], row["rejected_id"]) == ("x.0.0", "x.1.0")
    assert said.stderr == "1 rows of 3 rollouts; left out: 1 rollouts (no pair 1)\n"


def test_a_folder_for_datasets(athlos, run, tmp_path):
    pytest.importorskip("pyarrow")
    said = athlos("export", "a", "--format", "messages", "--out", "new/data/")
    assert said.returncode == 0, said.stderr
    card = (tmp_path / "new/data/README.md").read_text()
    assert "data_files: train.parquet" in card
    assert "rollouts of `e` 1 (digest `abc`, split `test`) by the model `m`" in card
    assert (tmp_path / "new/data/train.parquet").read_bytes()[:4] == b"PAR1"


def test_options_of_other_formats_are_refused(athlos, run):
    for option, message in (
        (["--pairs", 2], "--pairs is for --format dpo"),
        (["--min-reward", 1], "--min-reward is for --format sft and kto"),
    ):
        said = athlos("export", "a", *option)
        assert said.returncode == 2
        assert message in said.stderr
