"""Every way of abuse is contained: under this user, and under a plain one if this is root."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import athlos
from tests.sandbox import abuse

PLAIN = 65534


@pytest.fixture(scope="module")
def as_plain_user():
    """What every case came to under another user, in a process of its own."""
    if os.geteuid() != 0:
        pytest.skip("this user is a plain one already")
    if shutil.which("setpriv") is None or shutil.which("bwrap") is None:
        pytest.skip("setpriv or bubblewrap is not installed")
    places = [Path(athlos.__file__).parents[1], Path(msgspec.__file__).parents[1]]
    python = next(filter(can_be_used, (sys.executable, "/usr/bin/python3")), None)
    script = Path(abuse.__file__)
    if python is None or not all(map(is_readable, [*places, script])):
        pytest.skip("a plain user can read no Python of this version, or not this repository")
    env = {"PYTHONPATH": os.pathsep.join(map(str, places)), "HOME": "/nonexistent"}
    env |= {abuse.SECRET: "hunter2 and more", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*as_user(), python, "-B", str(script)],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_user() -> list[str]:
    return ["setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups"]


def can_be_used(python: str) -> bool:
    code = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]!r})"
    return (
        subprocess.run([*as_user(), python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0
    )


def is_readable(path: Path) -> bool:
    return subprocess.run([*as_user(), "test", "-r", str(path)]).returncode == 0


@pytest.mark.parametrize("name", abuse.CASES)
def test_abuse_is_contained(name, runner, sandbox):
    assert runner.run(abuse.contained(sandbox, name)) == "alive\n"


@pytest.mark.parametrize("name", abuse.CASES)
def test_abuse_is_contained_under_a_plain_user(name, as_plain_user):
    assert as_plain_user[name] == ""
