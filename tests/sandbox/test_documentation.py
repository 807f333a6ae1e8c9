"""What the page on sandboxes shows runs; so does the benchmark."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/sandbox.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_of_the_page_runs(block):
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_benchmark_measures_every_way(tmp_path):
    command = [sys.executable, ROOT / "benchmarks/sandbox.py", "--quick", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    [row] = map(json.loads, (tmp_path / "sandbox.jsonl").read_text().splitlines())
    assert next(iter(row["ways"])) == "python -c, no sandbox"
    assert len(row["ways"]) == 5
    assert all(way["per_second"] > 0 for way in row["ways"].values())


def test_the_benchmark_of_verifiers_measures_both(tmp_path):
    pytest.importorskip("math_verify")
    command = [
        sys.executable,
        ROOT / "benchmarks/verification.py",
        "--quick",
        "--results",
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    [row] = map(json.loads, (tmp_path / "verification.jsonl").read_text().splitlines())
    assert {name: found["count"] for name, found in row["verifiers"].items()} == {
        "math": 40,
        "code_gen": 20,
    }
