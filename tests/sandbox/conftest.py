"""One sandbox for the tests of a module, on a loop of its own."""

import asyncio
import os
import shutil

import pytest

from athlos.sandbox import Bubblewrap, Sandbox
from tests.sandbox import abuse


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def sandbox(runner):
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    os.environ[abuse.SECRET] = "hunter2 and more"
    sandbox = runner.run(Sandbox.start(Bubblewrap(), abuse.LIMITS))
    yield sandbox
    runner.run(sandbox.close())
    del os.environ[abuse.SECRET]
