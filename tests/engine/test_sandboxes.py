"""What an environment that asks for a sandbox gets, and what becomes of it."""

import asyncio
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import athlos
from athlos import ConfigError, EnvError, Environment, SandboxError, Task, reward, tool
from athlos.cli.settings import Settings
from athlos.engine.preview import preview
from athlos.sandbox import Lease, Limits, Sandboxes, SandboxSpec
from athlos.testing import call, scripted

needs_bwrap = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
pytestmark = needs_bwrap


class Scribe(Environment):
    """Write a file, then count what is there."""

    name = "scribe"
    sandbox = Limits(memory=128 << 20)
    seen: list[Lease] = []

    @classmethod
    def tasks(cls, config, split):
        for number in range(3):
            yield Task(f"Write {number}.", info={"number": number}, id=str(number))

    async def setup(self):
        self.seen.append(self.sandbox)
        await self.sandbox.write("given", "x")

    @tool
    async def write(self, name: str) -> str:
        """Write a file.

        Args:
            name: Of the file.
        """
        await self.sandbox.write(name, "y")
        return "written"

    @reward
    async def files(self, rollout):
        listed = await self.sandbox.list()
        alone = await self.sandbox.exec("ls", private=True)
        return float([e.name for e in listed] == ["a", "given"] and alone.stdout == "")

    async def teardown(self):
        assert await self.sandbox.read("given") == b"x"


def collect(env, *replies, **options):
    async def run():
        model = scripted(*(replies or (call("write", name="a"), "Done.")))
        collection = athlos.collect(env, model, **options)
        rollouts = [rollout async for rollout in collection]
        return collection, rollouts

    return asyncio.run(run())


def test_each_attempt_has_a_sandbox_of_its_own_from_setup_to_teardown():
    Scribe.seen = []
    collection, rollouts = collect(Scribe, samples=2)
    assert [rollout.reward for rollout in rollouts] == [1.0] * 6, collection.failures
    assert len(set(map(id, Scribe.seen))) == 6
    with pytest.raises(SandboxError, match="over"):
        asyncio.run(Scribe.seen[0].exec("true"))


def test_the_run_records_what_sandboxes_it_had():
    spec = athlos.collect(Scribe, scripted("")).spec
    assert spec.sandbox["provider"] == "bubblewrap"
    assert spec.sandbox["limits"]["memory"] == 128 << 20


def test_another_provider_is_another_run():
    with pytest.warns(UserWarning, match="does not isolate"):
        other = athlos.collect(Scribe, scripted(""), sandbox="subprocess")
    assert other.spec.fingerprint() != athlos.collect(Scribe, scripted("")).spec.fingerprint()


def test_an_environment_that_asks_for_none_has_none():
    class Plain(Scribe):
        sandbox = False

    assert athlos.collect(Plain, scripted("")).spec.sandbox == {}


def test_the_settings_can_decide():
    class Chosen(Environment):
        """Asks for what its settings say."""

        class Config:
            """Settings."""

            seconds: float = 2.0

        @classmethod
        def sandbox(cls, config):
            return SandboxSpec(limits=Limits(seconds=config.seconds))

        @classmethod
        def tasks(cls, config, split):
            yield Task("x")

        @reward
        async def one(self, rollout):
            return (await self.sandbox.run("print(1)")).ok

    collection, (rollout,) = collect(Chosen, "x", config={"seconds": 7.0})
    assert rollout.reward == 1.0
    assert collection.spec.sandbox["limits"]["seconds"] == 7.0


def test_what_is_no_specification_is_said():
    class Odd(Scribe):
        sandbox = "bubblewrap"

    with pytest.raises(ConfigError, match=r"Odd\.sandbox is 'bubblewrap'"):
        athlos.collect(Odd, scripted(""))


def test_a_missing_program_is_said_before_the_run_begins(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="no sandbox on this machine"):
        athlos.collect(Scribe, scripted(""))
    with pytest.raises(ConfigError, match="'podman' needs podman, which is not installed"):
        athlos.collect(Scribe, scripted(""), sandbox="podman")
    with pytest.raises(ConfigError, match="no sandbox provider 'chroot'"):
        athlos.collect(Scribe, scripted(""), sandbox="chroot")


def test_a_provider_that_cannot_work_is_said_before_the_first_attempt():
    class Broken:
        name = "broken"

        def launch(self, limits):
            raise ConfigError("it cannot work here")

    class Never(Scribe):
        async def setup(self):
            raise AssertionError

    with pytest.raises(ConfigError, match="cannot work here"):
        collect(Never, sandbox=Broken())


def test_a_sandbox_that_fails_is_no_wrong_answer():
    class Fragile(Scribe):
        @reward
        async def files(self, rollout):
            (await self.sandbox.open()).kill("it was hit")
            await self.sandbox.exec("true")
            return 0.0

        async def teardown(self):
            pass

    collection, rollouts = collect(Fragile, limit=1)
    (failure,) = collection.failures
    assert not rollouts
    assert (failure.failure_class, failure.retryable) == ("sandbox_error", True)
    assert "it was hit" in failure.message


def test_a_sandbox_ends_with_an_attempt_that_fails():
    class Failing(Scribe):
        async def setup(self):
            self.seen.append(await self.sandbox.open())
            raise ValueError("no")

        async def teardown(self):
            pass

    Failing.seen = []
    collection, _ = collect(Failing, limit=1)
    assert collection.failures[0].failure_class == "environment_error"
    assert not Failing.seen[0].alive


def test_a_wait_for_a_sandbox_has_an_end():
    async def main():
        sandboxes = Sandboxes(SandboxSpec(), size=1)
        try:
            first, second = sandboxes.lend(), sandboxes.lend()
            await first.open()
            sandboxes.patience = 0.1
            with pytest.raises(SandboxError, match=r"was free within 0\.1 s; 1 are lent"):
                await second.open()
            assert (await second.run("print(2)", private=True)).stdout == "2\n"
            first.end()
            sandboxes.patience = 30.0
            assert (await second.exec("echo 3")).stdout == "3\n"
        finally:
            await sandboxes.close()

    asyncio.run(main())


def test_programs_that_start_at_once_share_one_sandbox():
    async def main():
        sandboxes = Sandboxes(SandboxSpec())
        lease = sandboxes.lend()
        try:
            first, second = await asyncio.gather(lease.open(), lease.open())
            lease.end()
            return first is second and not first.alive
        finally:
            await sandboxes.close()

    assert asyncio.run(main())


def test_an_environment_without_an_attempt_says_so():
    with pytest.raises(EnvError, match="from `setup` to `teardown`"):
        Scribe(Task("x")).sandbox.run("x")
    with pytest.raises(EnvError, match="write `sandbox = True`"):
        Environment(Task("x")).sandbox.run("x")


def test_a_sandbox_does_not_travel_to_a_worker():
    env = Scribe(Task("x"))
    env.sandbox = Lease(Sandboxes(SandboxSpec()))
    arrived = pickle.loads(pickle.dumps(env))
    with pytest.raises(EnvError, match=r"self\.sandbox is not there in a reward with process"):
        arrived.sandbox.exec("true")


def test_a_preview_has_a_sandbox():
    shown = asyncio.run(preview(Scribe, None))
    assert shown.info == {"number": 0}


_KILLED = """
import asyncio, os, sys
import athlos
from athlos.testing import scripted
from tests.engine.test_sandboxes import Scribe

class Stuck(Scribe):
    async def setup(self):
        sandbox = await self.sandbox.open()
        print(sandbox._guest._process.pid, flush=True)
        await self.sandbox.exec("sleep 1000 & sleep 1000")

asyncio.run(athlos.collect(Stuck, scripted(""), limit=1).run())
"""


def test_nothing_is_left_when_the_collector_is_killed():
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    sandbox = Path("/proc") / process.stdout.readline().strip()
    assert sandbox.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 30
    while sandbox.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not sandbox.exists()


@pytest.mark.parametrize("given", [{"sandbox": "docker"}, {}])
def test_the_command_line_and_run_files_say_where_from(given, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    file = tmp_path / "run.yaml"
    url = "http://127.0.0.1:1/v1"
    file.write_text(f"environment: code_gen\nmodel: m\nbase_url: {url}\nsandbox: podman")
    settings = Settings.read(None, str(file), given, {"env": {}, "sampling": {}})
    expected = given.get("sandbox", "podman")
    with pytest.raises(ConfigError, match=f"needs {expected}, which is not installed"):
        settings.collection(lambda *_: tmp_path)
