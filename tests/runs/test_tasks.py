"""The stored tasks are the list that was stored, torn ends aside."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos import ConfigError, Task
from athlos.runs import TaskStore


def tasks(count, size=10):
    return [Task("é\n" * size, {"n": n}, id=f"t{n}") for n in range(count)]


def lines(stored):
    return [msgspec.json.encode(task) + b"\n" for task in stored]


@pytest.mark.parametrize("size", [1, 400_000])
def test_it_is_a_sequence(tmp_path, size):
    expected = tasks(7, size)
    store = TaskStore(tmp_path / "tasks.jsonl")
    store.append(expected[:3])
    store.append([])
    store.append(expected[3:])
    for found in (store, TaskStore(tmp_path / "tasks.jsonl")):
        assert len(found) == 7
        assert list(found) == expected
        assert [found[n] for n in (6, 0, 3, -1)] == [expected[n] for n in (6, 0, 3, -1)]
        assert found[2:5] == expected[2:5]
        with pytest.raises(IndexError):
            found[7]
        found.close()


@given(st.integers(0, 4), st.integers(0, 200))
def test_a_torn_end_is_cut(tmp_path_factory, whole, torn):
    path = tmp_path_factory.mktemp("t") / "tasks.jsonl"
    written = lines(tasks(5))
    part = written[whole][:torn]
    path.write_bytes(b"".join(written[:whole]) + part)
    store = TaskStore(path)
    if part == written[whole][:-1] or part == written[whole]:  # whole, but perhaps for its newline
        whole += 1
    assert list(store) == tasks(whole)
    store.append(tasks(5)[whole:])
    store.close()
    assert path.read_bytes() == b"".join(written)


def test_a_damaged_task_is_named_by_its_line(tmp_path):
    path = tmp_path / "tasks.jsonl"
    written = lines(tasks(4))
    written[2] = bytes(len(written[2]) - 1) + b"\n"
    path.write_bytes(b"".join(written))
    store = TaskStore(path)
    with pytest.raises(ConfigError, match=r"tasks\.jsonl:3: damaged task"):
        store[2]
    assert store[3] == tasks(4)[3]
    store.cut_damaged(0)
    assert list(store) == tasks(2)
    store.close()


@pytest.mark.parametrize("near", [0, 3, 9])
def test_tasks_are_found_by_id(tmp_path, near):
    store = TaskStore(tmp_path / "tasks.jsonl")
    store.append(tasks(10))
    assert store.find({"t2", "t8", "none"}, near) == {"t2": 2, "t8": 8}
    assert store.find(set(), near) == {}
    assert store.numbers() == {f"t{n}": n for n in range(10)}
    store.close()
