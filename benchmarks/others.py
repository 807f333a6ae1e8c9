"""The same rollouts by other systems, where they are installed, beside the same floor.

    python benchmarks/others.py --python /path/to/venv/bin/python

`other_systems.py` has what each of them does. A system that no given Python has is skipped.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from common import Table, child, median, parser, spread, write
from rollouts import SHAPES, measure

SYSTEMS = ("inspect_ai", "verifiers")


def main() -> None:
    """Prints a line for each system and shape, and writes a JSON line for each shape."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--python", nargs="+", default=[sys.executable], help="where to look")
    made.add_argument("--in-flight", type=int, nargs="+", default=[64])
    made.add_argument("--rollouts", type=int, default=1_000)
    made.add_argument("--latency", type=float, default=0.1, help="seconds a reply takes")
    options = made.parse_args()
    if options.quick:
        options.in_flight, options.rollouts, options.latency, options.repeats = [8], 16, 0.001, 1
    found: dict[str, tuple[str, str]] = {}
    for python in options.python:
        for name, version in child("other_systems.py", {"list": True}, python=python).items():
            found.setdefault(name, (python, version))
    for name in SYSTEMS:
        if name not in found:
            print(f"{name}: skipped, not installed; --python names a Python that has it")
    if not found:
        return
    print("\nCPU of the client and its children per rollout, the range over the runs, peak MB.\n")
    table = Table(
        ("shape", 7), ("in flight", 9), ("", 20), ("µs", 7), ("range", 13), ("ratio", 7),
        ("MB", 5), ("at server", 9), ("per s", 6),
    )  # fmt: skip
    for in_flight in options.in_flight:
        for shape in SHAPES:
            run = (shape, options.rollouts, in_flight, options.latency)
            runs: dict[str, list[dict[str, Any]]] = {}
            for _ in range(options.repeats):
                for name in ("floor", "athlos"):
                    runs.setdefault(name, []).append(measure(name, *run))
                for name, (python, version) in found.items():
                    row = measure(name, *run, script="other_systems.py", python=python)
                    runs.setdefault(f"{name} {version}", []).append(row)
            low = median([row["us"] for row in runs["floor"]])
            result: dict[str, Any] = {}
            for name, rows in runs.items():
                own = [row["us"] for row in rows]
                wall = median([row["wall_s"] for row in rows])
                result[name] = {
                    "us": round(median(own), 1),
                    "us_all": [round(value, 1) for value in own],
                    "ratio": round(median(own) / low, 2),
                    "peak_mb": round(max(row["peak_mb"] for row in rows), 1),
                    "at_server": min(row["at_server"] for row in rows),
                    "per_s": round(options.rollouts / wall, 1),
                }
                table.add(
                    shape, f"{in_flight:,}", name, f"{result[name]['us']:.0f}", spread(own),
                    f"{result[name]['ratio']:.1f}", f"{result[name]['peak_mb']:.0f}",
                    f"{result[name]['at_server']:,}", f"{result[name]['per_s']:.0f}",
                )  # fmt: skip
            row = {
                "shape": shape,
                "in_flight": in_flight,
                "rollouts": options.rollouts,
                "latency_s": options.latency,
                "systems": result,
            }
            write(options.results, "others", row)


if __name__ == "__main__":
    main()
