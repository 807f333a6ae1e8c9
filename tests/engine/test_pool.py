import asyncio
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from athlos import ConfigError, Environment, Rollout, Task, VerifierError, collect, load, reward
from athlos.engine.pool import ProcessPool
from athlos.errors import VerifierTimeout
from athlos.testing import scripted

SOURCE = '''
import os, subprocess, sys, time
from athlos import Environment, Task, metric, reward

class Heavy(Environment):
    """Does as its task says, in a worker process."""

    class Config:
        factor: float = 2.0

    @classmethod
    def tasks(cls, config, split):
        for what in ("count", "crash", "count", "hang", "exit", "count", "print"):
            yield Task("x", info={"what": what, "value": 21})

    def setup(self):
        self.state = [1, 2]

    @reward(process=True, timeout=1)
    def r(self, rollout):
        return getattr(self, self.task.info["what"])(rollout)

    @metric
    def pid(self, rollout):
        return os.getpid()

    def count(self, rollout):
        rollout.extra["worker"] = os.getpid()
        rollout.extra.setdefault("log", []).append(len(self.state))
        return self.task.info["value"] * self.config.factor

    def crash(self, rollout):
        raise KeyError("no such answer")

    def hang(self, rollout):
        while True:
            time.sleep(0.01)

    def parent(self, rollout):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        with open(self.task.info["note"], "w") as note:
            note.write(str(child.pid))
        return self.hang(rollout)

    def exit(self, rollout):
        os._exit(7)

    def leave(self, rollout):
        raise SystemExit(7)

    def kill(self, rollout):
        os.kill(os.getpid(), 9)

    def print(self, rollout):
        print("x" * 100_000)
        sys.stdout.flush()
        os.write(1, b"more")
        return 1 if sys.stdin.read() == "" else 0

    def environ(self, rollout):
        rollout.extra["environ"] = dict(os.environ)
        return 1

    def odd(self, rollout):
        return lambda: 1

    def odd_extra(self, rollout):
        rollout.extra["f"] = lambda: 1
        return 1

    def everything(self, rollout):
        return self.shared["x"] + len(self.models["judge"])

    def huge(self, rollout):
        rollout.extra["text"] = "y" * 3_000_000
        return len(self.task.info["value"])
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pool") / "heavy_verifier.py"
    path.write_text(SOURCE)
    return path


@asynccontextmanager
async def opened(reference, size=1):
    pool = ProcessPool(reference, size)
    try:
        yield pool
    finally:
        await pool.close()


def attempt(env, what, value=21, **info):
    made = env(Task("x", info={"what": what, "value": value, **info}))
    made.setup()
    return made, Rollout("t.0.0", "t", 0, "env", "model", extra={"log": [0]})


def scored(file, *whats, size=1, timeout=30.0, **info):
    """The values, or the errors, of these rewards, all asked for at once; and their rollouts."""
    env = load(str(file))

    async def main():
        async with opened(str(file), size) as pool:
            made = [attempt(env, what, **info) for what in whats]
            return (
                await asyncio.gather(
                    *(pool.score(one, "r", rollout, timeout) for one, rollout in made),
                    return_exceptions=True,
                ),
                [rollout for _, rollout in made],
            )

    return asyncio.run(main())


def is_running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_value_and_what_was_put_into_extra_come_back(file):
    (value,), (rollout,) = scored(file, "count")
    assert value == 42.0
    assert rollout.extra["worker"] != os.getpid()
    assert rollout.extra["log"] == [0, 2]


def test_a_worker_serves_many_and_is_gone_afterwards(file):
    values, rollouts = scored(file, *["count"] * 6, size=2)
    assert values == [42.0] * 6
    workers = {rollout.extra["worker"] for rollout in rollouts}
    assert len(workers) <= 2
    assert not any(is_running(pid) for pid in workers)


def test_what_raises_comes_with_its_traceback(file):
    (error,), _ = scored(file, "crash")
    assert type(error) is VerifierError
    assert error.message == "reward 'r' raised KeyError: 'no such answer'"
    assert "in crash" in error.hint
    assert "heavy_verifier.py" in error.hint


@pytest.mark.parametrize(
    ("what", "code"), [("exit", "exit code 7"), ("leave", "exit code 7"), ("kill", "exit code -9")]
)
def test_a_worker_that_ends_is_a_failure_of_the_verifier_and_is_replaced(file, what, code):
    (error, value), _ = scored(file, what, "count")
    assert type(error) is VerifierError
    assert error.message == f"reward 'r' ended its worker process ({code})"
    assert value == 42.0


def test_what_hangs_is_killed_and_the_next_one_served(file):
    (error, value), _ = scored(file, "hang", "count", timeout=0.3)
    assert isinstance(error, VerifierTimeout)
    assert error.message == "reward 'r' took longer than 0.3 s"
    assert value == 42.0


def test_what_a_verifier_started_is_killed_with_it(file, tmp_path):
    note = tmp_path / "pid"
    (error,), _ = scored(file, "parent", timeout=2.0, note=str(note))
    assert isinstance(error, VerifierTimeout)
    pid = int(note.read_text())
    for _ in range(500):
        if not is_running(pid):
            break
        time.sleep(0.01)
    assert not is_running(pid)


def test_what_a_verifier_prints_harms_nothing(file):
    values, _ = scored(file, "print", "count")
    assert values == [1, 42.0]


def test_a_worker_sees_no_secrets(file, monkeypatch):
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_KEY"):
        monkeypatch.setenv(name, "secret-value")
    _, (rollout,) = scored(file, "environ")
    seen = rollout.extra["environ"]
    assert "PATH" in seen
    assert "secret-value" not in seen.values()


@pytest.mark.parametrize("what", ["odd", "odd_extra"])
def test_what_cannot_travel_back_is_a_failure_of_the_verifier(file, what):
    (error, value), _ = scored(file, what, "count")
    assert type(error) is VerifierError
    assert "pickle" in str(error)
    assert value == 42.0


def test_shared_and_models_stay_behind(file):
    (error,), _ = scored(file, "everything")
    assert type(error) is VerifierError


def test_large_values_travel_both_ways(file):
    (value,), (rollout,) = scored(file, "huge", value="z" * 3_000_000)
    assert value == len(rollout.extra["text"]) == 3_000_000


def test_state_that_cannot_travel_is_named(file):
    made, rollout = attempt(load(str(file)), "count")
    made.state = lambda: 1

    async def main():
        async with opened(str(file)) as pool:
            await pool.score(made, "r", rollout, 30)

    with pytest.raises(VerifierError, match="state cannot be sent to a worker"):
        asyncio.run(main())


def test_a_cancelled_call_frees_its_worker(file):
    env = load(str(file))

    async def main():
        async with opened(str(file)) as pool:
            one, rollout = attempt(env, "count")
            await pool.score(one, "r", rollout, 30)
            hanging, other = attempt(env, "hang")
            running = asyncio.create_task(pool.score(hanging, "r", other, 30))
            await asyncio.sleep(0.05)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            again, after = attempt(env, "count")
            return await pool.score(again, "r", after, 30), rollout, after

    value, rollout, after = asyncio.run(main())
    assert value == 42.0
    assert after.extra["worker"] != rollout.extra["worker"]
    assert not is_running(rollout.extra["worker"])


def test_a_class_that_a_worker_cannot_load_is_refused_or_named(file):
    class Local(Environment):
        @reward(process=True)
        def r(self, rollout): ...

    with pytest.raises(ConfigError, match="Local has a reward with process=True"):
        ProcessPool(Local)

    Local.__qualname__ = "Local"
    Local.__module__ = "__main__"
    with pytest.raises(ConfigError, match="in the main script"):
        ProcessPool(Local)

    made, rollout = attempt(load(str(file)), "count")

    async def main():
        async with opened("nowhere_at_all:Gone") as pool:
            await pool.score(made, "r", rollout, 30)

    with pytest.raises(
        VerifierError, match=r"cannot load the environment: no module named .nowhere_"
    ):
        asyncio.run(main())


# -- in a collection -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["path", "class"])
def test_a_collection_loses_only_what_fails(file, form):
    reference = str(file) if form == "path" else load(str(file))

    async def gather():
        return [rollout async for rollout in collection]

    collection = collect(reference, scripted("Done."), config={"factor": 3})
    rollouts = asyncio.run(gather())
    assert sorted(r.reward for r in rollouts) == [1, 63, 63, 63]
    assert {r.metrics["pid"] for r in rollouts} == {os.getpid()}
    failures = sorted((f.failure_class, f.message) for f in collection.failures)
    assert failures == [
        ("verifier_error", "reward 'r' ended its worker process (exit code 7)"),
        ("verifier_error", "reward 'r' raised KeyError: 'no such answer'"),
        ("verifier_error", "reward 'r' took longer than 1 s"),
    ]
    (crashed,) = (f for f in collection.failures if "KeyError" in f.message)
    assert "heavy_verifier.py" in crashed.traceback
    workers = [r.extra["worker"] for r in rollouts if "worker" in r.extra]
    assert workers
    assert not any(is_running(pid) for pid in workers)
