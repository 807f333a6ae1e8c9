"""`list`, `show`, `new`, `metrics` and the help texts."""

import json
import subprocess
import sys

import pytest
from tests.fake_server import FakeServer, text

COMMANDS = ("run", "list", "show", "new", "metrics", "check")


def test_help_of_everything(athlos):
    said = athlos("--help")
    assert said.returncode == 0
    for command in COMMANDS:
        assert command in said.stdout
        about = athlos(command, "--help")
        assert about.returncode == 0
        assert "Examples:" in about.stdout


def test_version(athlos):
    from athlos import __version__

    assert __version__ in athlos("--version").stdout


def test_unknown_command_with_a_suggestion(athlos):
    said = athlos("metrcs")
    assert said.returncode == 2
    assert "metrics" in said.stderr


def test_list_shows_the_library(athlos):
    names = {entry["name"] for entry in json.loads(athlos("list", "--json").stdout)}
    assert {"blackjack", "counter", "math_with_judge", "mcqa", "string_match"} <= names
    table = athlos("list").stdout
    assert "math_with_judge" in table
    assert "reasoning-gym" in table


def test_every_environment_of_the_library_has_what_a_reader_needs(athlos):
    from pathlib import Path

    import athlos as package

    for entry in json.loads(athlos("list", "--json").stdout):
        if entry["source"] != "library":
            continue
        folder = Path(package.__file__).parent / "envs" / entry["name"]
        readme = (folder / "README.md").read_text()
        assert entry["summary"]
        for word in ("Tasks", "Reward", "Licence"):
            assert word in readme, (entry["name"], word)


def test_show_prints_what_the_model_sees_and_what_it_does_not(athlos):
    said = athlos("show", "counter", "--env.size", 3, "--task", 2).stdout
    assert "exactly 67" in said
    assert '"name": "add"' in said
    assert '"target": 67' in said.partition("only the verifier sees")[2]
    assert "size=3" in said


def test_show_as_json(athlos):
    shown = json.loads(athlos("show", "blackjack", "--json").stdout)
    assert shown["environment"] == "blackjack"
    assert shown["task"]["messages"][-1]["content"].startswith("Your hand:")


def test_show_of_an_unknown_task(athlos):
    said = athlos("show", "counter", "--task", "nope")
    assert said.returncode == 2
    assert "no task 'nope'" in said.stderr


def test_a_new_environment_runs_and_its_test_passes(athlos, tmp_path):
    assert athlos("new", "my_env").returncode == 0
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "my_env"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert tested.returncode == 0, tested.stdout
    assert "4 passed" in tested.stdout
    with FakeServer(lambda request: text("1")) as server:
        done = athlos("run", "./my_env", "--base-url", server.url, "--limit", 2, "--out", "a")
    assert done.returncode == 0, done.stderr
    assert "reward 0.500" in done.stdout


@pytest.mark.parametrize("name", ["task", "environment", "config", "none", "_1", "_", "exception"])
def test_a_class_name_hides_nothing(athlos, tmp_path, name):
    assert athlos("new", name).returncode == 0
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", name], cwd=tmp_path, capture_output=True, text=True
    )
    assert tested.returncode == 0, tested.stdout


def test_new_prints_commands_that_a_shell_takes(athlos):
    said = athlos("new", "my envs/mine").stdout
    assert "athlos show './my envs/mine'" in said
    assert "pytest 'my envs/mine'" in said


def test_metrics_are_computed_from_the_records(athlos, tmp_path):
    athlos("new", "my_env")
    with FakeServer(lambda request: text("1")) as server:
        athlos("run", "./my_env", "--base-url", server.url, "--limit", 2, "--out", "a")
    (tmp_path / "a/metrics.json").unlink()
    figures = json.loads(athlos("metrics", "a", "--json").stdout)
    assert figures["reward"]["mean"] == 0.5
    assert figures["accounting"]["offered"] == 2
    assert "reward 0.500" in athlos("metrics", "a").stdout


@pytest.mark.parametrize("name", ["athlos", "athlos.cli"])
def test_help_imports_nothing_heavy(name):
    code = f"import sys, {name}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    heavy = {"rich", "pyqwest", "yaml", "math_verify", "sympy", "numpy", "uvloop", "asyncio"}
    assert not heavy & set(loaded.split())
