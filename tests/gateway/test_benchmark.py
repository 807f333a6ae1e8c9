"""The benchmark of the gateway runs in its smallest form; speed is not asserted."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gateway.py"


def test_it_measures_both_proxies_streaming_and_not(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--results", tmp_path],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "gateway.jsonl").read_text().splitlines()]
    assert [(row["stream"], row["capture"]) for row in rows] == [
        (False, False), (False, True), (True, False), (True, True),
    ]  # fmt: skip
