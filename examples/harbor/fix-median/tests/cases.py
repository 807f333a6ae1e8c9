"""Calls the function in a process of its own for each case, so that it cannot write the verdict."""

import json
import subprocess
import sys

CASES = [([3], 3), ([1, 2], 1.5), ([5, 1, 3], 3), ([4, 1, 3, 2], 2.5), ([], None), ([2, 2, 9], 2)]
CALL = "import json, sys; from stats import median; print(json.dumps(median(json.load(sys.stdin))))"


def is_right(numbers, expected):
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd="/app", input=json.dumps(numbers), capture_output=True, text=True, timeout=10,
    )  # fmt: skip
    try:
        return json.loads(done.stdout) == expected
    except ValueError:
        return False


right = sum(is_right(*case) for case in CASES)
print(json.dumps({"reward": float(right == len(CASES)), "cases": right / len(CASES)}))
