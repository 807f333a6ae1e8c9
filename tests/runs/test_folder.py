"""The run folder: one writer, records by name, nothing mixed."""

import subprocess
import sys

import pytest

from athlos import ConfigError, Failure, Rollout, Task, read_failures, read_rollouts
from athlos.runs import RunFolder, RunSpec
from athlos.runs.folder import encode
from athlos.runs.read import read_run, read_tasks
from athlos.runs.spec import EnvironmentSpec, ModelSpec


def spec(**changes):
    fields = {
        "environment": EnvironmentSpec("counter", "counter", "1", "abc", {"size": 3}),
        "model": ModelSpec("m", "http://127.0.0.1:1/v1"),
        "agent": {"name": "tool_loop", "max_turns": 5},
        "sampling": {"temperature": 0.5},
        "split": "test",
        "samples": 2,
        "limit": 3,
        "seed": None,
    }
    return RunSpec(**(fields | changes))


def rollout(task, sample, **fields):
    return Rollout(f"{task}.{sample}.0", task, sample, "counter", "m", **fields)


def add(folder, *records):
    folder.add([(record, encode(record)) for record in records])


def test_what_is_written_is_read_again(tmp_path):
    folder = RunFolder(tmp_path / "a", spec())
    tasks = [Task("one", {"x": [1, None]}, id="t1"), Task("two", id="t2")]
    folder.add_tasks(tasks)
    good = rollout("t1", 0, reward=0.0, rewards={"r": 0.0}, extra={"é": ["\x00", "𝄞"]})
    bad = Failure("t2.0.0", "t2", 0, 0, "timeout", "late")
    add(folder, good, bad)
    folder.close()
    assert read_tasks(tmp_path / "a") == tasks
    assert list(read_rollouts(tmp_path / "a")) == [good]
    assert list(read_failures(tmp_path / "a")) == [bad]
    assert read_run(tmp_path / "a").spec == spec()


def test_every_documented_field_is_on_a_line_even_if_it_is_zero(tmp_path):
    folder = RunFolder(tmp_path / "a", spec())
    add(folder, rollout("t1", 0))
    folder.close()
    text = (tmp_path / "a/rollouts.jsonl").read_text()
    for name in Rollout.__struct_fields__:
        assert f'"{name}":' in text


def test_a_second_writer_is_refused(tmp_path):
    folder = RunFolder(tmp_path / "a", spec())
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from athlos.runs import RunFolder\n"
        "from tests.runs.test_folder import spec\n"
        "RunFolder(Path(sys.argv[1]), spec())\n"
    )
    root = __file__.rpartition("/tests/")[0]
    command = [sys.executable, "-c", script, str(tmp_path / "a"), root]
    said = subprocess.run(command, capture_output=True, text=True)
    assert "being written by another process" in said.stderr
    folder.close()
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_damaged_record_is_named_by_its_line(tmp_path):
    folder = RunFolder(tmp_path / "a", spec())
    add(folder, rollout("t1", 0), rollout("t1", 1))
    folder.close()
    path = tmp_path / "a/rollouts.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"sample":1', b'"sample":"x"'))
    with pytest.raises(ConfigError, match=r"rollouts.jsonl:2: damaged record"):
        list(read_rollouts(tmp_path / "a"))


def test_a_record_that_is_being_written_is_left_out_by_a_reader(tmp_path):
    folder = RunFolder(tmp_path / "a", spec())
    add(folder, rollout("t1", 0), rollout("t1", 1))
    folder.close()
    path = tmp_path / "a/rollouts.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert [r.sample for r in read_rollouts(tmp_path / "a")] == [0]


def test_no_run_folder(tmp_path):
    with pytest.raises(ConfigError, match="no run folder"):
        list(read_rollouts(tmp_path))


def test_a_damaged_run_file(tmp_path):
    RunFolder(tmp_path / "a", spec()).close()
    (tmp_path / "a/run.json").write_text("{")
    with pytest.raises(ConfigError, match=r"run\.json is damaged"):
        RunFolder(tmp_path / "a", spec())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sampling": {"temperature": 0.7}}, "sampling.temperature was 0.5, is now 0.7"),
        ({"sampling": {}}, "sampling.temperature was 0.5, is now not set"),
        ({"sampling": {"temperature": 0.5, "top_p": 1}}, "sampling.top_p was not set, is now 1"),
        ({"seed": 3}, "seed was not set, is now 3"),
        ({"split": "train"}, 'split was "test", is now "train"'),
        ({"agent": {"name": "tool_loop", "max_turns": 6}}, "agent.max_turns was 5, is now 6"),
        ({"model": ModelSpec("n", "")}, 'model.name was "m", is now "n"'),
        ({"tasks_digest": "f00"}, 'tasks_digest was "", is now "f00"'),
        (
            {"environment": EnvironmentSpec("c", "counter", "1", "abd", {"size": 3})},
            'environment.digest was "abc", is now "abd"',
        ),
        (
            {"environment": EnvironmentSpec("c", "counter", "1", "abc", {"size": 4})},
            "environment.config.size was 3, is now 4",
        ),
        ({"samples": 1}, "samples was 2, is now 1"),
        ({"limit": 2}, "limit was 3, is now 2"),
    ],
)
def test_another_configuration_is_refused_and_named(tmp_path, change, named):
    RunFolder(tmp_path / "a", spec()).close()
    with pytest.raises(ConfigError) as raised:
        RunFolder(tmp_path / "a", spec(**change))
    assert named in raised.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 3},
        {"limit": 4},
        {"limit": None},
        {"model": ModelSpec("m", "http://elsewhere/v1")},
        {"tasks_file": "moved.jsonl"},
        {"environment": EnvironmentSpec("./moved.py", "counter", "1", "abc", {"size": 3})},
    ],
)
def test_more_of_the_same_and_other_places_are_fine(tmp_path, change):
    first = RunFolder(tmp_path / "a", spec())
    first.add_tasks([Task("x", id="t")])
    first.close()
    again = RunFolder(tmp_path / "a", spec(**change))
    assert again.resumed
    again.add_tasks([])
    again.close()
    assert read_run(tmp_path / "a").spec == spec(**change)
    if "samples" not in change and "limit" not in change:
        assert spec(**change).fingerprint() == spec().fingerprint()
