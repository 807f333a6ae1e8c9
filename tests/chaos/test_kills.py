"""A run that is killed, wherever and however often, loses nothing and has nothing twice.

ATHLOS_CHAOS=1 runs the long form: 200 random kills.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

DRIVER = Path(__file__).parent / "driver.py"
KILLS = 200 if os.environ.get("ATHLOS_CHAOS") else 15


def drive(*arguments):
    command = [sys.executable, str(DRIVER), *map(str, arguments)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert said.returncode == 0, said.stderr[-3000:]
    return json.loads(said.stdout)


@pytest.fixture
def root():
    """A folder in memory, if there is such a thing: a kill does not know, and fsync is quick."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield folder


def test_a_kill_at_every_operation_on_the_folder(root):
    assert drive("boundaries", root)["kills"] > 100


def test_kills_at_random_moments(root):
    found = drive("random", root, KILLS)
    assert found["kills"] == KILLS
    assert found["survived"] > 0
