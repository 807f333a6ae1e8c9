"""Each benchmark runs in its smallest form and writes what it promises; speed is not asserted."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

COMPARE = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from athlos import Model, collect
from athlos.models.transport import Response
from fake_server import MODEL, MODELS, Policy
from rollouts import ARGUMENTS, SHAPES, _bodies

class Recorder:
    def __init__(self, tool_calls):
        self.policy, self.sent = Policy(tool_calls, ARGUMENTS), []

    async def send(self, method, path, body=None):
        http = self.policy.reply(body) if body else MODELS
        self.sent += [body] if body else []
        return Response(200, {}, http.partition(b"\\r\\n\\r\\n")[2])

    async def close(self):
        pass

for shape, (env, tool_calls) in SHAPES.items():
    recorder = Recorder(tool_calls)
    asyncio.run(collect(env, Model(name=MODEL, transport=recorder), limit=1).run())
    assert recorder.sent == _bodies(shape), (recorder.sent, _bodies(shape))
    print(shape, len(recorder.sent))
"""


def run(folder: Path, name: str, *arguments: str) -> tuple[str, list[dict]]:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", "--quick", "--results", folder, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path = folder / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return done.stdout, [json.loads(line) for line in lines]


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_rollouts_are_measured_against_the_floor(tmp_path: Path):
    printed, rows = run(tmp_path, "rollouts", "--floor-gc")
    assert [row["shape"] for row in rows] == ["single", "tools"]
    for row in rows:
        assert list(row["contenders"]) == ["floor", "floor, gc tuned", "athlos"]
        assert row["contenders"]["floor"]["ratio"] == 1
        for figures in row["contenders"].values():
            assert figures["us"] > 0
            assert figures["peak_mb"] > 10
            assert 1 <= figures["at_server"] <= figures["connections"] <= row["in_flight"]
        assert f"{row['contenders']['athlos']['ratio']:.2f}" in printed


def test_the_floor_sends_what_athlos_sends():
    command = [sys.executable, "-c", COMPARE, str(BENCHMARKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split("\n")[:2] == ["single 1", "tools 3"], done.stderr


def test_memory_is_measured_in_runs_of_its_own(tmp_path: Path):
    printed, [row] = run(tmp_path, "memory")
    assert (row["benchmark"], row["in_flight"]) == ("memory", 8)
    assert list(row["systems"]) == ["floor", "athlos"]
    for name, figures in row["systems"].items():
        [peak] = figures["peak_mb"]
        assert peak > 10
        assert 1 <= figures["at_server"] <= 8
        assert re.search(rf"^{name} +8 +\d+ ", printed, re.MULTILINE)


def test_a_line_says_what_it_was_measured_on(tmp_path: Path):
    _, [row] = run(tmp_path, "imports")
    assert row["benchmark"] == "imports"
    assert row["cpus"] >= 1
    assert {"date", "commit", "python", "load", "pyqwest", "uvloop", "msgspec"} <= set(row)
    assert row["commands"]["python -c pass"]["ratio"] == 1


def test_sequences_are_built_by_every_policy(tmp_path: Path):
    printed, [row] = run(tmp_path, "sequences")
    assert (row["tokens"], row["turns"]) == (2_000, 10)
    assert {name: one["sequences"] for name, one in row["policies"].items()} == {
        "fork": 1,
        "strict": 1,
        "main_only": 1,
        "realign": 1,
        "per_call": 10,
        "fork, drift": 5,
        "realign, drift": 1,
    }
    assert "2,000" in printed


def test_other_systems_that_are_not_there_are_skipped(tmp_path: Path):
    printed, rows = run(tmp_path, "others", "--python", sys.executable)
    for system in ("inspect_ai", "verifiers"):
        assert f"{system}: skipped" in printed or system in str(rows)


def test_a_served_environment_is_measured_beside_an_empty_handler(tmp_path: Path):
    printed, rows = run(tmp_path, "serve")
    assert [row["sessions_at_once"] for row in rows] == [64, 64]
    assert {row["benchmark"] for row in rows} == {"serve"}
    assert all(row["requests"] == 5 * row["sessions"] for row in rows)
    assert "empty, µs" in printed
