"""Ctrl-C and SIGTERM, above all while an author's code holds the event loop."""

import json
import signal
import subprocess
import sys
import time

import pytest
from tests.fake_server import FakeServer, Fault, text

ENVIRONMENT = """\
import asyncio, contextlib, sys, time
from athlos import Environment, Task, reward

def begun(what):
    print(f"begun {{what}}", file=sys.stderr, flush=True)

class E(Environment):
    @classmethod
    def tasks(cls, config, split):
        {tasks}
        for n in range(20):
            yield Task(prompt=f"task {{n}}")

    async def setup(self):
        {setup}

    @reward
    def score(self, rollout):
        {score}
        return 1.0
"""
PATCHES = {
    "tasks": 'begun("tasks"); time.sleep(60)',
    "score": 'begun("score")\n        while True: pass',
    "setup": 'begun("setup")\n        while True:\n'
    "            with contextlib.suppress(asyncio.CancelledError):\n"
    "                await asyncio.sleep(60)",
}
SHARED = """
    @classmethod
    @contextlib.asynccontextmanager
    async def shared(cls, config):
        begun("shared")
        await asyncio.sleep(60)
        yield
"""


@pytest.fixture
def start(tmp_path):
    """Starts a run whose environment hangs, and returns it when it does."""
    made = []

    def run(*places, extra="", url, arguments=()):
        parts = dict.fromkeys(PATCHES, "pass") | {place: PATCHES[place] for place in places}
        (tmp_path / "e.py").write_text(ENVIRONMENT.format(**parts) + extra)
        process = subprocess.Popen(
            [sys.executable, "-m", "athlos", "run", "./e.py", "--base-url", url, "--out", "a",
             *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )  # fmt: skip
        made.append(process)
        if places or extra:
            assert process.stderr.readline().startswith("begun")
        time.sleep(0.3)
        return process

    yield run
    for process in made:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def url():
    with FakeServer(lambda request: text("hi")) as server:
        yield server.url


def send(process, *numbers):
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.3)


@pytest.mark.parametrize("place", ["tasks", "score", "setup"])
def test_the_third_ctrl_c_ends_whatever_hangs(start, url, place):
    process = start(place, url=url)
    send(process, signal.SIGINT, signal.SIGINT)
    assert process.poll() is None
    send(process, signal.SIGINT)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "ending at once; interrupted; the same command with --out a goes on" in errors
    assert "Traceback" not in errors
    if place != "setup":
        assert "holds the program; Ctrl-C again ends it at once" in errors


def test_the_second_sigterm_ends_whatever_hangs(start, url):
    process = start("score", url=url)
    send(process, signal.SIGTERM)
    assert process.poll() is None
    send(process, signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 130


def test_ctrl_c_before_the_first_attempt_says_how_to_go_on(start, url):
    process = start(extra=SHARED, url=url, arguments=["--quiet"])
    send(process, signal.SIGINT)
    output, errors = process.communicate(timeout=5)
    # `shared` comes after the tasks are known, before the first attempt
    assert process.returncode == 130
    assert errors == "interrupted; the same command with --out a goes on\n"
    assert output == ""


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_an_idle_loop_hears_signals_at_once(start, tmp_path, numbers):
    with FakeServer(lambda request: text("hi"), chaos=lambda *_: Fault(hang=True)) as server:
        process = start(url=server.url)
        end = time.monotonic() + 20
        while not server.requests and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        send(process, *numbers)
        output, errors = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "the same command with --out a goes on" in output
    assert "Traceback" not in errors
    metrics = json.loads((tmp_path / "a/metrics.json").read_text())
    assert metrics["accounting"]["cancelled"] == 20


def test_handlers_are_restored():
    from athlos.cli.interrupts import Interrupts

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts(None, print):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
