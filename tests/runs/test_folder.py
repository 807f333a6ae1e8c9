"""The run folder: one writer, records by name, nothing mixed."""

import os
import subprocess
import sys
import threading

import pytest

from athlos import AthlosError, ConfigError, Failure, Rollout, Task, read_failures, read_rollouts
from athlos.runs import FailureEntry, RolloutEntry, RunFolder, RunSpec, encode
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


def failure(task, sample, attempt=0, failure_class="timeout"):
    return Failure(f"{task}.{sample}.{attempt}", task, sample, attempt, failure_class, "late")


def opened(path, tasks=3, **changes):
    """A folder with its tasks, t0, t1 and so on."""
    folder = RunFolder(path, spec(**changes))
    if not folder.tasks_known:
        folder.add_tasks([Task("?", id=f"t{n}") for n in range(len(folder.tasks), tasks)])
        folder.settle_tasks(tasks)
    return folder


def add(folder, *records):
    folder.add([(int(record.task_id[1:]), record, encode(record)) for record in records])


def test_what_is_written_is_read_again(tmp_path):
    folder = RunFolder(tmp_path / "a", spec())
    tasks = [Task("one", {"x": [1, None]}, id="t0"), Task("two", id="t1")]
    folder.add_tasks(tasks)
    folder.settle_tasks(2)
    good = rollout("t0", 0, reward=0.0, rewards={"r": 0.0}, extra={"é": ["\x00", "𝄞"]})
    bad = failure("t1", 0)
    add(folder, good, bad)
    folder.close()
    assert read_tasks(tmp_path / "a") == tasks
    assert list(read_rollouts(tmp_path / "a")) == [good]
    assert list(read_failures(tmp_path / "a")) == [bad]
    assert read_run(tmp_path / "a").spec == spec()


def test_every_documented_field_is_on_a_line_even_if_it_is_zero(tmp_path):
    folder = opened(tmp_path / "a")
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
    folder = opened(tmp_path / "a")
    add(folder, rollout("t1", 0), rollout("t1", 1))
    folder.close()
    path = tmp_path / "a/rollouts.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"sample":1', b'"sample":"x"'))
    with pytest.raises(ConfigError, match=r"rollouts.jsonl:2: damaged record"):
        list(read_rollouts(tmp_path / "a"))


def test_a_record_that_is_being_written_is_left_out_by_a_reader(tmp_path):
    folder = opened(tmp_path / "a")
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
    first.settle_tasks(1)
    first.close()
    again = RunFolder(tmp_path / "a", spec(**change))
    assert again.resumed
    again.settle_tasks(1)
    again.close()
    assert read_run(tmp_path / "a").spec == spec(**change)
    if "samples" not in change and "limit" not in change:
        assert spec(**change).fingerprint() == spec().fingerprint()


def test_a_resumed_folder_knows_what_was_done(tmp_path):
    folder = opened(tmp_path / "a")
    add(folder, rollout("t0", 1), failure("t1", 0), failure("t1", 0, 1, "cancelled"))
    folder.close()
    again = opened(tmp_path / "a")
    progress = again.progress
    assert again.resumed
    assert (progress.rollouts, progress.failures) == (1, 2)
    assert [progress.done(0, sample) for sample in (0, 1)] == [False, True]
    assert [progress.attempts(1, sample) for sample in (0, 1)] == [2, 0]
    entries = list(again.entries())
    assert [(e.task, e.sample, e.attempt, e.failure_class) for e in entries] == [
        (0, 1, 0, ""),
        (1, 0, 0, "timeout"),
        (1, 0, 1, "cancelled"),
    ]
    assert [type(entry) for entry in entries] == [RolloutEntry, FailureEntry, FailureEntry]
    add(again, rollout("t1", 0))
    assert len(list(again.entries())) == 3  # what was there before
    again.close()


@pytest.mark.parametrize("batch", [True, False])
def test_a_second_rollout_of_a_sample_is_refused_and_nothing_of_its_batch_is_written(
    tmp_path, batch
):
    folder = opened(tmp_path / "a")
    if batch:
        records = [rollout("t0", 0), failure("t1", 0), rollout("t0", 0)]
    else:
        add(folder, rollout("t0", 0))
        records = [rollout("t2", 0), rollout("t0", 0)]
    with pytest.raises(AthlosError, match=r"t0\.0\.0 has a rollout already"):
        add(folder, *records)
    add(folder, rollout("t2", 0))
    folder.close()
    assert [r.task_id for r in read_rollouts(tmp_path / "a")] == ["t2"] if batch else ["t0", "t2"]
    assert list(read_failures(tmp_path / "a")) == []


def test_unsynced_counts_what_a_crash_could_take(tmp_path):
    folder = opened(tmp_path / "a")
    assert folder.unsynced == 0
    add(folder, rollout("t0", 0), failure("t1", 0))
    add(folder, rollout("t1", 0))
    assert folder.unsynced == 3
    folder.sync()
    assert folder.unsynced == 0
    folder.close()
    folder.close()
    folder.sync()  # by a thread that comes late


def test_records_are_added_while_a_thread_syncs(tmp_path):
    folder = opened(tmp_path / "a", tasks=300)
    ended = threading.Event()

    def sync():
        while not ended.is_set():
            folder.sync()

    thread = threading.Thread(target=sync)
    thread.start()
    for number in range(300):
        add(folder, rollout(f"t{number}", 0), failure(f"t{number}", 1))
    ended.set()
    thread.join()
    folder.close()
    again = opened(tmp_path / "a")
    assert (again.progress.rollouts, again.progress.failures) == (300, 300)
    assert len(list(again.entries())) == 600
    assert again.repaired == 0
    again.close()


def test_a_disk_that_is_full_takes_a_batch_whole_or_not_at_all(tmp_path):
    script = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from athlos import ConfigError
from tests.runs.test_folder import add, failure, opened, rollout
folder = opened(Path(sys.argv[1]))
add(folder, rollout("t0", 0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
late = failure("t1", 0)
late.traceback = "x" * 3000
try:
    add(folder, rollout("t0", 1), late)
except ConfigError as error:
    print(error)
add(folder, rollout("t0", 1))
folder.close()
"""
    root = __file__.rpartition("/tests/")[0]
    command = [sys.executable, "-c", script, str(tmp_path / "a"), root]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write to" in said.stdout
    assert [r.sample for r in read_rollouts(tmp_path / "a")] == [0, 1]
    again = opened(tmp_path / "a")
    assert (again.progress.rollouts, again.progress.failures, again.repaired) == (2, 0, 0)
    again.close()


def test_after_a_disk_that_failed_no_sync_succeeds_and_the_index_has_no_gap(tmp_path, monkeypatch):
    folder = opened(tmp_path / "a")
    add(folder, rollout("t0", 0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda fd: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(ConfigError, match="I/O error"):
            folder.sync()
    add(folder, rollout("t0", 1))
    with pytest.raises(ConfigError, match="I/O error"):
        folder.sync()
    assert folder.unsynced == 2
    folder.close()
    again = opened(tmp_path / "a")
    assert again.progress.rollouts == 2
    again.close()


def test_records_that_were_lost_after_all_are_made_again(tmp_path, caplog):
    folder = opened(tmp_path / "a")
    add(folder, rollout("t0", 0), rollout("t0", 1))
    folder.close()
    path = tmp_path / "a/rollouts.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    again = opened(tmp_path / "a")
    assert "rollouts.jsonl has lost 30 bytes" in caplog.text
    assert again.repaired
    assert again.progress.done(0, 0)
    assert not again.progress.done(0, 1)
    assert [entry.sample for entry in again.entries()] == [0]
    again.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (encode(rollout("t0", 0)), r"rollouts.jsonl:3: a second rollout of sample 0"),
        (encode(rollout("t9", 0)), r"rollouts.jsonl:3: there is no task 't9'"),
    ],
)
def test_records_that_cannot_be_of_this_run_are_refused(tmp_path, line, said):
    folder = opened(tmp_path / "a")
    add(folder, rollout("t0", 0), rollout("t0", 1))
    folder.close()
    with (tmp_path / "a/rollouts.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(ConfigError, match=said):
        opened(tmp_path / "a")


def test_damage_amid_good_records_is_not_cut_away_when_the_index_is_lost(tmp_path):
    folder = opened(tmp_path / "a")
    add(folder, *(rollout(f"t{n}", sample) for n in range(3) for sample in range(2)))
    folder.close()
    path = tmp_path / "a/rollouts.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"sample"', b'"simple"')
    path.write_bytes(b"".join(lines))
    (tmp_path / "a/index.bin").unlink()
    with pytest.raises(ConfigError, match=r"rollouts\.jsonl:3: damaged record"):
        opened(tmp_path / "a")
    assert path.read_bytes() == b"".join(lines)


def test_a_run_with_the_same_limit_knows_its_tasks(tmp_path):
    folder = RunFolder(tmp_path / "a", spec(limit=5))
    folder.add_tasks([Task("?", id=f"t{n}") for n in range(3)])
    assert not folder.tasks_known
    folder.close()
    folder = RunFolder(tmp_path / "a", spec(limit=5))
    assert not folder.tasks_known  # they were not settled
    assert len(folder.tasks) == 3
    folder.settle_tasks(3)
    folder.close()
    for limit in (5, 9, None):  # the environment had fewer than it was asked for: those are all
        folder = RunFolder(tmp_path / "a", spec(limit=limit))
        assert folder.tasks_known
        folder.close()
    opened(tmp_path / "b").close()
    for limit, known in ((3, True), (9, False), (None, False)):
        folder = RunFolder(tmp_path / "b", spec(limit=limit))
        assert folder.tasks_known == known
        folder.close()


def test_tasks_of_a_growth_that_was_interrupted_are_cut_when_they_are_not_wanted(tmp_path):
    opened(tmp_path / "a", tasks=3).close()
    grown = RunFolder(tmp_path / "a", spec(limit=9))
    grown.add_tasks([Task("?", id=f"t{n}") for n in range(3, 7)])
    grown.close()
    again = RunFolder(tmp_path / "a", spec(limit=3))
    assert again.tasks_known
    again.settle_tasks()
    assert [task.id for task in again.tasks] == ["t0", "t1", "t2"]
    again.close()
    assert len(read_tasks(tmp_path / "a")) == 3


def test_tasks_that_are_missing_are_noticed(tmp_path):
    opened(tmp_path / "a").close()
    (tmp_path / "a/tasks.jsonl").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"tasks\.jsonl is damaged: it has 0 tasks and had 3"):
        opened(tmp_path / "a")


def test_a_forked_child_does_not_hold_the_lock(tmp_path):
    folder = opened(tmp_path / "a")
    reader, writer = os.pipe()
    begun, begin = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.write(begin, b"1")
        os.read(reader, 1)  # until the parent lets go
        os._exit(0)
    os.close(reader)
    try:
        os.read(begun, 1)  # a child lets go of the lock as soon as it runs
        with pytest.raises(ConfigError, match="another process"):
            opened(tmp_path / "a")
        folder.close()
        again = opened(tmp_path / "a")  # though the child lives
        assert again.resumed
        again.close()
    finally:
        for descriptor in (writer, begun, begin):
            os.close(descriptor)
        os.waitpid(child, 0)
