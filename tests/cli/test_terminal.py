"""What reaches the terminal, the standard streams, and what happens when one of them is broken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fake_server import FakeServer, text

from athlos.cli.terminal import printable

EVIL = "\\x1b[2J\\x00\\x9b31m"
NOISY = f"""\
import os
from athlos import Environment, Task, reward, tool

print("loading")

class Noisy(Environment):
    @classmethod
    def tasks(cls, config, split):
        print("tasks")
        yield Task(prompt="say {EVIL}", id="t{EVIL}")

    @tool(name="look")
    def look(self, where: str):
        "Look."

    @reward
    def score(self, rollout):
        print("scoring")
        if os.environ.get("FAIL"):
            raise ValueError("saw {EVIL}")
        return 1.0
"""


@pytest.fixture
def noisy(tmp_path):
    (tmp_path / "noisy.py").write_text(NOISY)


@pytest.fixture(scope="module")
def url():
    with FakeServer(lambda request: text("hi")) as server:
        yield server.url


def shell(line, tmp_path, **env):
    return subprocess.run(
        ["bash", "-c", line.replace("athlos", f"{sys.executable} -m athlos")],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "100", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_control_characters_are_spelled_out():
    assert printable("a\x1b[2J\x00\x9b\r\x7fb\n\tc") == "a\\x1b[2J\\x00\\x9b\\x0d\\x7fb\n\tc"


def test_show_and_the_result_table_steer_no_terminal(athlos, noisy, url):
    shown = athlos("show", "./noisy.py").stdout
    assert "say \\x1b[2J\\x00" in shown
    assert "\x1b" not in shown
    done = athlos("run", "./noisy.py", "--base-url", url, "--out", "a", env={"FAIL": "1"})
    assert done.returncode == 1
    assert "saw \\x1b[2J" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_an_error_steers_no_terminal(athlos):
    said = athlos("show", "x\x1b[2J")
    assert said.returncode == 2
    assert "\x1b" not in said.stderr


def test_json_is_alone_on_stdout(athlos, noisy, url):
    shown = athlos("show", "./noisy.py", "--json")
    assert json.loads(shown.stdout)["environment"] == "noisy"
    assert "loading" in shown.stderr
    done = athlos("run", "./noisy.py", "--base-url", url, "--json")
    assert json.loads(done.stdout)["metrics"]["reward"]["mean"] == 1.0
    assert "scoring" in done.stderr


@pytest.mark.parametrize("out", ["runs/a[/b]", "runs/[red]a", "runs/:smile:"])
def test_paths_are_no_markup(athlos, noisy, url, out, tmp_path):
    call = ("run", "./noisy.py", "--base-url", url, "--out", out)
    done = athlos(*call)
    assert done.returncode == 0, done.stderr
    assert f"  {out}/rollouts.jsonl" in done.stdout
    assert out in athlos(*call).stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(noisy, url, tmp_path, closed):
    done = shell(f"athlos run ./noisy.py --base-url {url} --out a {closed}", tmp_path)
    assert done.returncode == 0, done
    assert b"reward" in (tmp_path / "a/rollouts.jsonl").read_bytes()
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", ["list", "list --json", "show counter", "--help"])
def test_a_full_disk_behind_stdout_costs_one_line(tmp_path, command):
    done = shell(f"athlos {command} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_reader_that_goes_away_costs_nothing(tmp_path):
    done = shell("athlos show math --json | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


def test_an_encoding_without_the_characters(athlos, noisy, url):
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    call = ("run", "./noisy.py", "--base-url", url, "--out", "ü")
    done = athlos(*call, env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert "\\xb7" in done.stdout
    assert json.loads(athlos(*call, "--json", env=ascii_only).stdout)["out"] == "ü"


def test_an_unexpected_exception_costs_one_line(monkeypatch, capsys):
    import athlos.cli as cli

    def broken(*_, **__):
        raise TypeError("no\nsuch")

    monkeypatch.setattr(cli.cli, "main", broken)
    monkeypatch.delenv("ATHLOS_TRACEBACK", raising=False)
    assert cli._main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: unexpected TypeError: no\n")
    assert "ATHLOS_TRACEBACK=1" in said
    assert "Traceback" not in said
    monkeypatch.setenv("ATHLOS_TRACEBACK", "1")
    assert cli._main([]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_outside_of_a_run(monkeypatch):
    import athlos.cli as cli

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", interrupted)
    assert cli._main([]) == 130


def test_a_run_may_open_as_many_files_as_the_user_may(tmp_path):
    code = (
        "import resource as r; hard = r.getrlimit(r.RLIMIT_NOFILE)[1];"
        "r.setrlimit(r.RLIMIT_NOFILE, (min(64, hard), hard));"
        "from athlos.cli.run import _allow_many_sockets as f; f();"
        "print(r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"
