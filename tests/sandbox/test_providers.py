"""Which provider there is, what each is told, and what it says when it cannot work."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import athlos.sandbox
from athlos.errors import ConfigError, SandboxError
from athlos.sandbox import Bubblewrap, Container, Limits, Sandbox, Subprocess, open_sandbox
from athlos.sandbox.container import run_command
from athlos.sandbox.opening import find_provider
from tests.sandbox.abuse import running

# Plays podman: runs what it is told on the host, with the shared folder where it is.
FAKE_RUNTIME = f"""#!{sys.executable}
import os, sys
words = sys.argv[1:]
if words[0] == "rm":
    sys.exit(0)
open(os.environ["HOME"] + "/words", "w").write("\\n".join(words))
shared = next(w for w in words if w.startswith("--volume=")).split("=")[1].split(":")[0]
os.chdir(shared)
code = words[-1].replace("/run/athlos/socket", "socket")
os.execv({sys.executable!r}, ["python3", "-I", "-c", code])
"""


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A PATH of our own; writes programs into it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(name, text):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return write


def say(message: str, code: int = 1) -> str:
    return f"#!/bin/sh\necho '{message}' >&2\nexit {code}\n"


def start(provider) -> Sandbox:
    async def go():
        async with open_sandbox(provider) as sandbox:
            return sandbox

    return asyncio.run(go())


def test_the_public_names_are_these():
    assert sorted(athlos.sandbox.__all__) == [
        "Bubblewrap", "Container", "Entry", "Lease", "Limits", "Pool", "Provider",
        "PythonSession", "Result", "Sandbox", "SandboxSpec", "Sandboxes", "Subprocess", "asked_for",
        "open_sandbox",
    ]  # fmt: skip
    for name in athlos.sandbox.__all__:
        assert getattr(athlos.sandbox, name).__doc__, name


def test_auto_is_bubblewrap_then_a_container_then_a_mistake(tools):
    with pytest.raises(ConfigError, match="no sandbox on this machine") as error:
        find_provider("auto")
    assert "apt install bubblewrap" in error.value.hint
    tools("docker", "")
    assert isinstance(find_provider("auto"), Container)
    tools("bwrap", "")
    assert isinstance(find_provider("auto"), Bubblewrap)


def test_a_provider_can_be_an_object():
    provider = Container(image="x")
    assert find_provider(provider) is provider


def test_only_bubblewrap_takes_packages():
    with pytest.raises(ConfigError, match="takes no packages"):
        find_provider("container", ["msgspec"])


def test_bubblewrap_that_is_not_installed(tools):
    with pytest.raises(ConfigError, match="bwrap, which is not installed"):
        start("bubblewrap")


@pytest.mark.parametrize(
    "said",
    [
        "bwrap: No permissions to create new namespace, likely because the kernel does not allow",
        "bwrap: setting up uid map: Permission denied",
        "bwrap: Can not mount proc on /newroot/proc: Operation not permitted",
    ],
)
def test_bubblewrap_that_is_forbidden_says_what_to_do(tools, said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # root's sandboxes could not enter `tools`
    tools("bwrap", say(said))
    with pytest.raises(ConfigError, match="may not make a sandbox here: ") as error:
        start("bubblewrap")
    assert said in error.value.message
    assert "user.max_user_namespaces" in error.value.hint


def test_bubblewrap_that_fails_otherwise(tools, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    tools("bwrap", say("bwrap: out of paper"))
    with pytest.raises(SandboxError, match="out of paper"):
        start("bubblewrap")


def test_user_namespaces_that_are_really_forbidden(tmp_path):
    """A plain user in a namespace where no more can be made."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to forbid it")
    code = """
import asyncio, os, pathlib
pathlib.Path("/proc/sys/user/max_user_namespaces").write_text("0")
from athlos.errors import ConfigError
from athlos.sandbox import open_sandbox
async def main():
    try:
        async with open_sandbox("bubblewrap"):
            print("started")
    except ConfigError as error:
        print("ConfigError", error.hint)
asyncio.run(main())
"""
    # in a user namespace of its own: the number belongs to it, and the machine's stays
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", code],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"cannot be forbidden here: {done.stderr[-200:]}")
    assert done.stdout.startswith("ConfigError Let users make user namespaces")


def test_what_a_container_is_told():
    limits = Limits(memory=64 << 20, disk=1 << 20, processes=10)
    words = run_command("/bin/podman", "some/image:1", "athlos-1", "/host/link", limits)
    assert words[:3] == ["/bin/podman", "run", "--rm"]
    assert words[words.index("some/image:1") :][1:3] == ["-I", "-c"]
    said = words[3 : words.index("some/image:1")]
    for word in (
        "--pull=never", "--network=none", "--read-only", "--cap-drop=ALL", "--user=1000:1000",
        "--security-opt=no-new-privileges", "--pids-limit=42", "--entrypoint=python3",
        "--tmpfs=/work:rw,exec,nosuid,nodev,mode=1777,size=1048576", "--ipc=private",
        "--volume=/host/link:/run/athlos:ro", f"--memory={194 << 20}", f"--memory-swap={194 << 20}",
    ):  # fmt: skip
        assert word in said, word
    assert not any("secret" in word.lower() or word == "--privileged" for word in words)


def test_a_container_is_spoken_to_through_its_socket(tools, tmp_path, monkeypatch):
    """With a runtime that runs everything on the host: the protocol, not the isolation."""
    tools("podman", FAKE_RUNTIME)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("athlos.sandbox.container.WORK", str(tmp_path / "inside"))
    monkeypatch.setenv("OPENAI_API_KEY", "not to be passed")
    mark = f"container-{time.time_ns()}"

    async def use():
        async with open_sandbox("container") as sandbox:
            await sandbox.write("f", "x")
            result = await sandbox.exec(
                f"cat f; env; (setsid sleep 60; : {mark}) >/dev/null 2>&1 &"
            )
            session = await sandbox.python()
            return result, await session.run("6 * 7"), await sandbox.run("while 1: 1", timeout=0.2)

    result, cell, looped = asyncio.run(use())
    assert result.stdout.startswith("x")
    assert "OPENAI" not in result.stdout
    assert (cell.value, looped.killed_for) == ("42", "time")
    assert "--network=none" in (tmp_path / "words").read_text().split("\n")
    assert running(mark) == []
    places = list(tmp_path.glob("athlos-sandboxes-*"))
    assert len(places) == 1
    assert list(places[0].iterdir()) == []


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        ("Cannot connect to the Docker daemon", ConfigError, "runtime does not work here"),
        ("Error: some/image: image not known", ConfigError, "no image 'python:3.12-slim'"),
        ("the disk is on fire", SandboxError, "on fire"),
    ],
)
def test_a_container_that_does_not_start(tools, said, error, match):
    tools("docker", say(said, 125))
    with pytest.raises(error, match=match):
        start("container")


def test_a_container_for_real():
    commands = [path for path in map(shutil.which, ("podman", "docker")) if path]
    inspect = ["image", "inspect", "python:3.12-slim"]
    works = any(
        subprocess.run([path, *inspect], capture_output=True).returncode == 0 for path in commands
    )
    if not works:
        pytest.skip("no container runtime with the image python:3.12-slim here")

    async def use():
        async with open_sandbox("container") as sandbox:
            session = await sandbox.python()
            return (await session.run("6 * 7")).value, (await sandbox.exec("id -u")).stdout

    assert asyncio.run(use()) == ("42", "1000\n")


async def unisolated() -> Sandbox:
    with pytest.warns(UserWarning, match="does not isolate"):
        provider = Subprocess()
    return await Sandbox.start(provider, Limits(memory=128 << 20, processes=20, disk=1 << 20))


def test_subprocess_runs_programs_and_cleans_up(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not to be passed")
    mark = f"plain-{time.time_ns()}"

    async def use():
        sandbox = await unisolated()
        try:
            work = Path(sandbox.work)
            assert stat.S_IMODE(work.parent.stat().st_mode) == 0o700
            result = await sandbox.exec(
                f"env; pwd; echo x > f; (setsid sh -c 'sleep 60; : {mark}' &)"
            )
            assert running(mark) == []
            assert await sandbox.read("f") == b"x\n"
            session = await sandbox.python()
            assert (await session.run("6 * 7")).value == "42"
            assert (await sandbox.run("import os; print(os.listdir())")).stdout == "['f']\n"
            await sandbox.exec("mkdir a; chmod 0 a")
            return result.stdout, work
        finally:
            await sandbox.close()

    said, work = asyncio.run(use())
    assert "OPENAI" not in said
    assert f"{work}\n" in said
    assert not work.parent.exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("sleep 60", "time"),
        ("for i in $(seq 40); do sleep 60 & done; wait", "processes"),
        ("yes", "output"),
    ],
)
def test_subprocess_limits(command, reason):
    async def use():
        sandbox = await unisolated()
        try:
            result = await sandbox.exec(command, timeout=0.5 if reason == "time" else 20)
            return result.killed_for, (await sandbox.run("print(1)")).stdout
        finally:
            await sandbox.close()

    assert asyncio.run(use()) == (reason, "1\n")


def test_subprocess_survives_a_program_that_kills_its_parent():
    mark = f"patricide-{time.time_ns()}"

    async def use():
        sandbox = await unisolated()
        try:
            command = f"(setsid sh -c 'sleep 60; : {mark}' &) ; kill -9 $PPID; sleep 60; : {mark}"
            result = await sandbox.exec(command)
            return result.exit_code, running(mark), (await sandbox.run("print(1)")).stdout
        finally:
            await sandbox.close()

    assert asyncio.run(use()) == (-9, [], "1\n")


def test_subprocess_has_no_private_programs():
    async def use():
        sandbox = await unisolated()
        try:
            with pytest.raises(ConfigError, match="no private programs"):
                await sandbox.run("1", private=True)
        finally:
            await sandbox.close()

    asyncio.run(use())
