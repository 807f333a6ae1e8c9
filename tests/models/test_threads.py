import _thread
import atexit
import subprocess
import sys

import pytest
from tests.fake_server import FakeServer, text

from athlos.models import threads
from athlos.models.http import HttpTransport

PROGRAM = """
import asyncio, sys
import athlos
from athlos.types import Message

async def ask():
    model = athlos.Model(sys.argv[1], "fake")
    calls = [model.chat([Message("user", "Hello?")]) for _ in range(16)]
    print(len(await asyncio.gather(*calls)))

asyncio.run(ask())
"""


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(threads, "time", clock)
    return clock


def test_free_memory_is_given_back_for_a_share_of_the_time(clock):
    given = []

    def trim(pad):
        given.append(pad)
        clock.now += 0.02

    heap = threads.Heap()
    heap._trim = trim
    for _ in range(10_000):
        clock.now += 0.01
        heap.trim()
    assert 45 <= len(given) <= 52  # a fiftieth of a second of every two


def test_free_memory_is_given_back_at_most_once_a_second(clock):
    given = []
    heap = threads.Heap()
    heap._trim = given.append
    for _ in range(1000):
        clock.now += 0.01
        heap.trim()
    assert 9 <= len(given) <= 10


def test_another_c_library_has_nothing_to_give_back(clock):
    heap = threads.Heap()
    heap._trim = None
    clock.now += 100
    heap.trim()
    assert heap._trim is None


def test_the_end_waits_for_a_thread_that_python_did_not_start():
    done = []

    def work():
        for _ in range(100):
            sum(range(10_000))
        done.append(True)

    _thread.start_new_thread(work, ())
    threads._settle()
    assert done == [True]


def test_the_end_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(threads, "_LOOK_FOR", 0.05)
    busy = True
    ended = _thread.allocate_lock()
    ended.acquire()

    def work():
        while busy:
            sum(range(1000))
        ended.release()

    _thread.start_new_thread(work, ())
    threads._settle()
    assert ended.locked()
    busy = False
    assert ended.acquire(timeout=10)


def test_where_threads_cannot_be_seen_the_end_waits_a_moment(monkeypatch, tmp_path):
    waits = []
    monkeypatch.setattr(threads, "_TASKS", tmp_path / "none")
    monkeypatch.setattr(threads.time, "sleep", waits.append)
    threads._settle()
    assert waits == [threads._BLIND]


def test_the_end_is_watched_once_however_many_transports_there_are(monkeypatch):
    hooks = []
    monkeypatch.setattr(atexit, "register", hooks.append)
    threads.settle_at_exit.cache_clear()
    for _ in range(3):
        HttpTransport("http://127.0.0.1:1/v1", api_key=None, connect_timeout=1, connections=1)
    threads.settle_at_exit.cache_clear()  # this process needs a hook of its own
    assert hooks == [threads._settle]


def test_a_program_that_never_closes_its_model_ends():
    with FakeServer(lambda request: text("hi")) as server:
        command = [sys.executable, "-c", PROGRAM, server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "16\n"), done.stderr
