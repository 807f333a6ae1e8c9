"""How long a person waits for nothing: `import athlos` and `athlos --help`, beside bare Python.

python benchmarks/imports.py
"""

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from common import Table, median, parser, spread, write

ATHLOS = str(Path(sys.executable).parent / "athlos")
BARE = "python -c pass"
COMMANDS = {
    BARE: [sys.executable, "-c", "pass"],
    "import athlos": [sys.executable, "-c", "import athlos"],
    "import athlos and use it": [sys.executable, "-c", "import athlos; athlos.Environment"],
    "athlos --help": [ATHLOS, "--help"],
    "athlos list": [ATHLOS, "list"],
}


def main() -> None:
    """Prints the median wall time of each and its ratio to bare Python; writes one JSON line."""
    options = parser(__doc__, repeats=9).parse_args()
    if options.quick:
        options.repeats = 1
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for repeat in range(options.repeats + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if repeat:  # the first round reads the files from the disk
                times[name].append(time.perf_counter() - started)
    print("Wall time of a new process: the median of runs in turn, and their range.\n")
    table = Table(("command", 26), ("ms", 6), ("range", 11), ("ratio", 6))
    rows = {}
    for name, seconds in times.items():
        ms = [value * 1e3 for value in seconds]
        ratio = median(seconds) / median(times[BARE])
        rows[name] = {"ms": round(median(ms), 1), "ratio": round(ratio, 2)}
        table.add(name, f"{median(ms):.0f}", spread(ms), f"{ratio:.1f}")
    write(options.results, "imports", {"repeats": options.repeats, "commands": rows})


if __name__ == "__main__":
    main()
