"""The example agents, and a Python that has what they need.

That is the one of the tests, or the one that ATHLOS_AGENTS_PYTHON names: a virtual environment with
examples/agents/requirements.txt.
"""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

AGENTS = Path(__file__).parents[2] / "examples" / "agents"
SUMS = str(AGENTS / "sums.py")
NEEDS = {
    "openai_sdk": "openai",
    "openai_agents": "agents agents.mcp",
    "langgraph_agent": "langchain_openai langgraph.prebuilt",
}
PYTHON = os.environ.get("ATHLOS_AGENTS_PYTHON", sys.executable)


@functools.cache
def is_there(modules: str) -> bool:
    code = f"import importlib.util as u; exit(not all(map(u.find_spec, {modules.split()!r})))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=120)
    return done.returncode == 0


def command(name: str) -> list[str]:
    """The command of an example; skips the test if it cannot run here."""
    if not is_there(NEEDS[name]):
        pytest.skip(f"{name}.py needs examples/agents/requirements.txt (ATHLOS_AGENTS_PYTHON)")
    return [PYTHON, str(AGENTS / f"{name}.py")]
