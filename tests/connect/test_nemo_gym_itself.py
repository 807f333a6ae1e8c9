"""NeMo Gym itself: its servers as environments, and its tools on our files.

It cannot be installed beside Athlos: `ATHLOS_NEMO_GYM_PYTHON` names a Python that has it.
"""

import json
import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.connect.playing import play

from athlos.runs.export import export
from athlos.testing import call, scripted

PYTHON = os.environ.get("ATHLOS_NEMO_GYM_PYTHON", "")
DATA = Path(__file__).parents[1] / "data" / "connect"

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="ATHLOS_NEMO_GYM_PYTHON names no Python with nemo-gym"
)

WAIT = {"wait": 400}  # its imports take a minute


@contextmanager
def serving(implementation):
    """The address of a server, which may not be up yet, and its example rows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = "import resources_servers as r; print(list(r.__path__)[0])"
    folder = subprocess.run([PYTHON, "-c", found], capture_output=True, text=True, check=True)
    rows = Path(folder.stdout.strip()) / implementation / "data" / "example.jsonl"
    server = subprocess.Popen([PYTHON, DATA / "nemo_gym_server.py", implementation, str(port)])
    try:
        yield f"nemo-gym+http://127.0.0.1:{port}", rows
    finally:
        server.terminate()
        server.wait(30)


def test_a_server_with_tools_and_state_and_what_its_tools_make_of_the_export(tmp_path):
    model = scripted(
        call("increment_counter", count=1),
        call("increment_counter", count=2),
        call("get_counter_value"),
        "6",
    )
    with serving("example_session_state_mgmt") as (url, rows):
        rollouts, failures = play(
            url, model, tasks=rows, samples=2, config=WAIT, out=tmp_path / "run"
        )
    assert failures == []
    wanted = {r.task_id: r for r in rollouts if "add 1 then add 2" in r.messages[0].text}
    assert [r.reward for r in wanted.values()] == [1.0]
    assert sum(r.reward for r in rollouts) == 2.0
    export(tmp_path / "run", tmp_path / "r.jsonl", format="nemo-gym")
    done = subprocess.run(
        [PYTHON, DATA / "nemo_gym_profile.py", tmp_path / "r.jsonl"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(done.stdout.splitlines()[-1])
    (ours,) = json.loads((tmp_path / "r_aggregate_metrics.json").read_text())
    theirs["agents"][0].pop("agent_ref")
    assert ours["agent_metrics"] == pytest.approx(theirs["agents"][0])
    for mine, group in zip(ours["group_level_metrics"], theirs["groups"], strict=True):
        assert {name: mine[name] for name in group} == group


def test_a_server_that_is_reset_and_stepped():
    with serving("example_multi_turn_gymnasium") as (url, rows):
        (rollout,), failures = play(
            url,
            scripted("Paris", "Two million", "The Eiffel Tower"),
            tasks=rows,
            limit=1,
            config=WAIT,
        )
    assert failures == []
    assert (rollout.reward, rollout.turns, rollout.status) == (1.0, 3, "completed")
