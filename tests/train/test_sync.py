"""The synchronous facade: a thread, deadlines, and errors that leave it whole."""

import pickle
import threading
import time

import pytest
from tests.train.runs import Told, model

import athlos.errors
from athlos import AthlosError, ConfigError, GroupPolicy, Task, collect
from athlos.train import Feed, Stream, StreamError, SyncStream
from athlos.train.loop_thread import LoopThread, portable


def open_sync(*, latency=0.0, tasks=None, policy=None, **options):
    run = collect(Told, model(latency=latency), samples=4, concurrency=8, tasks=tasks,
                  groups=policy or GroupPolicy())  # fmt: skip
    return SyncStream(Stream(run, **options))


def test_a_synchronous_loop_takes_batches_and_updates_the_weights():
    versions = []
    with open_sync(batch=2) as stream:
        for batch in stream:
            stream.ack(batch)
            versions.append(batch.version)
            with stream.update() as version:
                assert version == len(versions)
    assert versions == [0, 1, 2]
    assert "athlos-stream" not in {thread.name for thread in threading.enumerate()}


def test_tasks_on_demand_come_in_the_order_in_which_they_were_asked_for():
    with open_sync(tasks=Feed()) as stream:
        tasks = [Task(f"ask {n}", {"rewards": [n] * 4}) for n in range(7)]
        groups = stream.attempt(tasks)
    assert [group.rewards for group in groups] == [[n] * 4 for n in range(7)]


def test_a_wait_ends_with_its_deadline_and_the_stream_goes_on():
    with open_sync(latency=0.05, policy=GroupPolicy(epochs=None), batch=1) as stream:
        with pytest.raises(StreamError, match="no batch in time"):
            stream.next(within=0.001)
        assert stream.next() is not None


def test_after_the_end_there_is_one_clear_error():
    stream = open_sync(policy=GroupPolicy(epochs=None), batch=1)
    assert stream.next() is not None
    stream.close()
    stream.close()
    with pytest.raises(ConfigError, match="has been closed"):
        stream.next()


def test_closing_ends_a_wait_in_another_thread():
    stream = open_sync(latency=0.3, policy=GroupPolicy(epochs=None), batch=6)
    found = []

    def wait():
        try:
            found.append(stream.next())
        except AthlosError as error:
            found.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not stream._stream.collection.in_flight:
        time.sleep(0.01)
    stream.close()
    thread.join(30)
    assert not thread.is_alive()
    assert "closed while somebody waited" in str(found[0])


def test_every_error_survives_a_pickle_with_what_it_says():
    for name in athlos.errors.__all__:
        kind = getattr(athlos.errors, name)
        error = kind("it broke") if name == "ToolError" else kind("it broke", hint="mend it")
        copy = pickle.loads(pickle.dumps(portable(error)))
        assert type(copy) is kind
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)
    late = pickle.loads(pickle.dumps(StreamError("late")))
    assert (type(late), late.retryable, str(late)) == (StreamError, True, "late")


class Local(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")
        self.lock = threading.Lock()


def test_an_error_that_cannot_be_pickled_becomes_one_that_says_the_same():
    thread = LoopThread()
    try:

        async def fail():
            raise Local(1, 2)

        with pytest.raises(AthlosError, match="Local: 1 and 2") as caught:
            thread.run(fail(), 10)
    finally:
        thread.close()
    assert "raise Local(1, 2)" in pickle.loads(pickle.dumps(caught.value)).hint


def test_a_thread_cannot_wait_for_itself():
    thread = LoopThread()
    try:

        async def outer():
            return thread.run(inner(), 10)

        async def inner():
            return 1

        with pytest.raises(ConfigError, match="cannot wait for it"):
            thread.run(outer(), 10)
    finally:
        thread.close()
