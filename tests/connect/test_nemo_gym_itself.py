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
from tests.connect.test_nemo_gym_yaml import ENV, EXPECTED, MAIN, B, C

from athlos import ConfigError
from athlos.cli.yaml_text import read_yaml
from athlos.connect.nemo_gym_servers import SERVER_TYPES
from athlos.connect.nemo_gym_yaml import load_gym_yaml
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
    figures = {name: theirs["agents"][0].get(name) for name in ours["agent_metrics"]}
    assert ours["agent_metrics"] == pytest.approx(figures)
    for mine, group in zip(ours["group_level_metrics"], theirs["groups"], strict=True):
        assert {name: mine[name] for name in group if name in mine} == {
            name: value for name, value in group.items() if name in mine
        }
        assert group["num_rollouts"] == mine["num_rollouts"] == 2


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


# -- configurations --------------------------------------------------------------------------------

POLICY = """
policy_base_url: http://127.0.0.1:8000/v1
policy_api_key: none
policy_model_name: m
cache_dir: /cache
"""


def resolved(folder, env, files):
    """What its own parser makes of configurations, by name: values, or None if it refuses."""
    done = subprocess.run(
        [PYTHON, DATA / "nemo_gym_resolve.py", env, *files],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {answer["file"]: answer.get("values") for answer in answers}


def without_defaults(theirs, ours):
    """Values without the keys that the parser adds."""
    found = {name: theirs[name] for name in theirs if name in ours}
    for name, value in found.items():
        for kind in SERVER_TYPES:
            servers = value.get(kind) if isinstance(value, dict) else None
            for implementation, settings in (servers or {}).items():
                written = ours[name].get(kind, {}).get(implementation, {})
                for key in ("host", "port"):
                    if isinstance(settings, dict) and key not in written:
                        settings.pop(key, None)
    return found


def test_every_directive_has_the_values_of_its_own_parser(tmp_path, monkeypatch):
    monkeypatch.setenv("ATHLOS_TEST_VALUE", "from outside")
    for name, text in {"main": MAIN, "b": B, "c": C, "env": ENV}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    theirs = resolved(tmp_path, "env.yaml", ["main.yaml"])["main.yaml"]
    assert without_defaults(theirs, EXPECTED) == EXPECTED


def test_the_configurations_that_come_with_it_have_the_values_of_its_own_parser(
    tmp_path, monkeypatch
):
    found = "import nemo_gym; print(nemo_gym.__file__)"
    done = subprocess.run([PYTHON, "-c", found], capture_output=True, text=True, check=True)
    root = Path(done.stdout.splitlines()[-1]).parents[1]
    patterns = ("resources_servers/*/configs/*.yaml", "benchmarks/*/*.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env.yaml").write_text(POLICY)
    files = []
    for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
        place = path.relative_to(root)
        files.append(str(place).replace("/", "__"))
        model = "responses_api_models/vllm_model/configs/vllm_model.yaml"
        Path(files[-1]).write_text(f"config_paths: [{model}, {place}]\n")
    equal = 0
    for name, theirs in resolved(tmp_path, "env.yaml", files).items():
        try:
            ours = load_gym_yaml(tmp_path / name, read_yaml, search=[root]).values
        except ConfigError:
            assert theirs is None, name
            continue
        if theirs is not None:  # it also checks licences, for example
            assert without_defaults(theirs, ours) == ours, name
            equal += 1
    assert equal > 300
