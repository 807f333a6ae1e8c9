"""Whatever a crash leaves behind: what was synced is there, of the rest a beginning, and once."""

import itertools
import os
import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runs.test_folder import add, failure, opened, rollout

from athlos import read_failures, read_rollouts
from athlos.runs import encode
from athlos.runs.index import enter

FILES = ("rollouts.jsonl", "failures.jsonl", "index.bin")
TASKS, SAMPLES = 4, 3
PAIRS = list(itertools.product(range(TASKS), range(SAMPLES)))


def record(task, sample, attempt, good):
    if not good:
        return failure(f"t{task}", sample, attempt)
    made = rollout(f"t{task}", sample, attempt=attempt, extra={"é": "𝄞" * sample})
    made.rewards = {"right": sample / 3}
    return made


def sizes(path):
    return {name: os.path.getsize(path / name) for name in FILES}


def check(path, rollouts, failures):
    """The folder, opened once more, has these records and knows them."""
    folder = opened(path, TASKS, samples=SAMPLES)
    assert list(read_rollouts(path)) == rollouts
    assert list(read_failures(path)) == failures
    progress = folder.progress
    assert progress.rollouts == len(rollouts)
    assert progress.failures == len(failures)
    done = {(r.task_id, r.sample) for r in rollouts}
    for task, sample in PAIRS:
        assert progress.done(task, sample) == ((f"t{task}", sample) in done)
        attempts = [f for f in failures if (f.task_id, f.sample) == (f"t{task}", sample)]
        assert progress.attempts(task, sample) == len(attempts)
    entries = sorted(msgspec.msgpack.encode(entry) for entry in folder.entries())
    expected = sorted(enter(int(r.task_id[1:]), r) for r in (*rollouts, *failures))
    assert entries == expected
    folder.close()


tears = st.sampled_from(["cut", "zeros", "garbage"])


@st.composite
def histories(draw):
    """Batches of records that a run could make, each with whether a sync came after it."""
    attempts = dict.fromkeys(PAIRS, 0)
    batches = []
    for _ in range(draw(st.integers(0, 6))):
        batch = []
        for _ in range(draw(st.integers(1, 3))):
            if not attempts:
                break
            pair = draw(st.sampled_from(sorted(attempts)))
            good = draw(st.booleans())
            batch.append((*pair, attempts[pair], good))
            attempts[pair] += 1
            if good:
                del attempts[pair]
        batches.append((batch, draw(st.booleans())))
    return batches


@settings(deadline=None, max_examples=40)
@given(histories(), st.data())
def test_a_crash_of_the_machine_takes_an_end_of_what_was_not_synced(
    tmp_path_factory, history, data
):
    path = tmp_path_factory.mktemp("run") / "a"
    folder = opened(path, TASKS, samples=SAMPLES)
    synced = sizes(path)
    kept = {"rollouts.jsonl": [], "failures.jsonl": []}  # (end of the line, record)
    for batch, sync in history:
        made = [record(*one) for one in batch]
        add(folder, *made)
        for name, lines in kept.items():
            end = lines[-1][0] if lines else 0
            for one in made:
                if isinstance(one, type(rollout("t", 0))) == (name == "rollouts.jsonl"):
                    end += len(encode(one))
                    lines.append((end, one))
        if sync:
            folder.sync()
            synced = sizes(path)
    now = sizes(path)
    crashed = path.with_name("b")
    shutil.copytree(path, crashed)
    folder.close()
    survivors = {}
    for name in FILES:
        keep = data.draw(st.integers(synced[name] if name != "index.bin" else 0, now[name]), name)
        with open(crashed / name, "r+b") as file:
            file.truncate(keep)
            tear = data.draw(tears, f"tear of {name}")
            if tear != "cut" and keep < now[name]:
                file.seek(keep)
                length = data.draw(st.integers(1, 50))
                file.write(bytes(length) if tear == "zeros" else b"\xff{\n"[:length] * 3)
            elif name in kept and any(keep == end - 1 for end, _ in kept[name]):
                keep += 1  # only the newline is lost, and it is put back
        survivors[name] = keep
    rollouts, failures = (
        [one for end, one in kept[name] if end <= survivors[name]]
        for name in ("rollouts.jsonl", "failures.jsonl")
    )
    check(crashed, rollouts, failures)
    check(crashed, rollouts, failures)


RECORDS = [record(task, sample, 0, (task + sample) % 3 != 0) for task, sample in PAIRS]
ROLLOUTS = [r for r in RECORDS if hasattr(r, "reward")]
FAILURES = [r for r in RECORDS if not hasattr(r, "reward")]


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    path = tmp_path_factory.mktemp("complete") / "a"
    folder = opened(path, TASKS, samples=SAMPLES)
    for one in RECORDS:
        add(folder, one)
        folder.sync()
    folder.close()
    return path


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_index_is_made_anew_whatever_happened_to_it(tmp_path_factory, complete, data):
    path = tmp_path_factory.mktemp("run") / "a"
    shutil.copytree(complete, path)
    index = path / "index.bin"
    content = bytearray(index.read_bytes())
    what = data.draw(st.sampled_from(["missing", "cut", "flipped", "empty", "other"]))
    position = data.draw(st.integers(0, len(content) - 1))
    if what == "missing":
        index.unlink()
    elif what == "flipped":
        content[position] ^= 1 << data.draw(st.integers(0, 7))
        index.write_bytes(content)
    else:
        left = {"cut": content[:position], "empty": b"", "other": b"something else\n" * 9}
        index.write_bytes(left[what])
    check(path, ROLLOUTS, FAILURES)
    check(path, ROLLOUTS, FAILURES)
    assert bytes(index.read_bytes())[:15] == b"athlos index 1\n"


def test_a_file_torn_at_any_byte_keeps_its_whole_lines(tmp_path, complete):
    whole = (complete / "rollouts.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    end = whole.index(b"\n", first) + 1
    for size in (*range(first, end - 2, 17), end - 2, end - 1, end):
        path = tmp_path / str(size)
        shutil.copytree(complete, path)
        (path / "rollouts.jsonl").write_bytes(whole[:size])
        (path / "index.bin").unlink()
        folder = opened(path, TASKS, samples=SAMPLES)
        found = 2 if size >= end - 1 else 1
        assert list(read_rollouts(path)) == ROLLOUTS[:found]
        assert folder.repaired == (0 if found == 2 else size - first)
        folder.close()


def test_a_long_tail_is_taken_up_part_by_part(tmp_path, monkeypatch, complete):
    monkeypatch.setattr("athlos.runs.recovery._PART", 2)
    path = tmp_path / "a"
    shutil.copytree(complete, path)
    (path / "index.bin").unlink()
    check(path, ROLLOUTS, FAILURES)
