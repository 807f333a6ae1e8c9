"""How long a person waits for nothing: `import athlos` and `athlos --help`, beside bare Python.

python benchmarks/imports.py --repeats 5
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "imports.jsonl"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import athlos": [sys.executable, "-c", "import athlos"],
    "import athlos and use it": [sys.executable, "-c", "import athlos; athlos.Environment"],
    "athlos --help": [str(Path(sys.executable).parent / "athlos"), "--help"],
    "athlos list": [str(Path(sys.executable).parent / "athlos"), "list"],
}


def main() -> None:
    """Prints the median wall time of each and its ratio to bare Python."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    row: dict[str, float] = {}
    for name, command in COMMANDS.items():
        times = []
        for _ in range(options.repeats):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - started)
        row[name] = statistics.median(times)
        print(f"{name:26} {row[name]:6.3f} s {row[name] / row['python -c pass']:6.1f} x")
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
