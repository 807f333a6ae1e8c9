"""The memory of a run with many attempts in flight: three calls and two tool calls, 2 s a reply.

Unlike `rollouts.py` there is no warm-up: the process makes this run and nothing else, as
`athlos run` does.

    python benchmarks/memory.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from common import Table, allow_files, parser, spread, write
from rollouts import measure


def main() -> None:
    """Prints the most memory of the floor and of Athlos, in turn; writes one JSON line."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--in-flight", type=int, default=10_000)
    made.add_argument("--rollouts", type=int, default=20_000)
    options = made.parse_args()
    latency = 2.0
    if options.quick:
        options.in_flight, options.rollouts, options.repeats, latency = 8, 16, 1, 0.001
    if not allow_files(options.in_flight):
        print(f"{options.in_flight} in flight: skipped; this process may not open that many files")
        return
    runs: dict[str, list[dict[str, float]]] = {"floor": [], "athlos": []}
    for _ in range(options.repeats):
        for name, own in runs.items():
            run = ("tools", options.rollouts, options.in_flight, latency)
            own.append(measure(name, *run, warm=False))
    print(
        "The most memory that the process ever had, in MB of 10^6 bytes: the worst run, and all.\n"
    )
    table = Table(("", 7), ("in flight", 9), ("MB", 5), ("range", 9), ("at server", 9))
    rows = {}
    for name, own in runs.items():
        peaks = [run["peak_mb"] for run in own]
        waited = min(int(run["at_server"]) for run in own)
        rows[name] = {"peak_mb": [round(peak, 1) for peak in peaks], "at_server": waited}
        table.add(name, f"{options.in_flight:,}", f"{max(peaks):.0f}", spread(peaks), f"{waited:,}")
    write(
        options.results,
        "memory",
        {"in_flight": options.in_flight, "rollouts": options.rollouts, "systems": rows},
    )


if __name__ == "__main__":
    main()
