"""Verifications a second of `math` and `code_gen`, and how late the event loop gets meanwhile.

A collection whose model answers at once is as fast as its verifiers. The answers are right ones and
wrong ones in turn. `python benchmarks/verification.py`
"""

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from common import Table, child, child_arguments, parser, write

WORK = {"math": 10_000, "code_gen": 5_000}
TASKS = 50  # each is attempted again and again
EVERY = 0.005  # seconds between two looks at the clock
CONCURRENCY = 64


async def lateness(found: list[float]) -> None:
    """How much later than it asked to this is woken, for as long as it runs."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time() + EVERY
        await asyncio.sleep(EVERY)
        found.append(loop.time() - asked)


def cpu_of_children() -> float:
    """CPU seconds of the children that have ended, and all of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def collect(name: str, count: int) -> dict[str, float]:
    """One collection of so many attempts."""
    import athlos
    from athlos.testing import fake_model

    env = athlos.load(name)
    config = env.make_config()
    few = min(TASKS, count // 2)
    tasks = [task for _, task in zip(range(few), env.tasks(config, "test"), strict=False)]
    right = {}
    for task in tasks:
        info = task.info
        right[task.messages()[0].text] = (
            f"\\boxed{{{info['expected_answer']}}}"
            if name == "math"
            else f"```python\n{info['solution']}\n```"
        )
    wrong = "\\boxed{-123457}" if name == "math" else "```python\nprint(-123457)\n```"
    asked = 0

    def policy(messages: list) -> str:
        nonlocal asked
        asked += 1
        return wrong if asked % 2 else right[messages[0].text]

    late: list[float] = []
    watching = asyncio.create_task(lateness(late))
    began, cpu, children = time.perf_counter(), time.process_time(), cpu_of_children()
    measured = athlos.collect(
        name, fake_model(policy, keep_requests=False), tasks=tasks, samples=count // few,
        concurrency=CONCURRENCY,
    )  # fmt: skip
    summary = await measured.run()
    took = time.perf_counter() - began
    watching.cancel()
    assert not measured.failures, measured.failures[0]
    passed = summary.reward.mean
    assert passed is not None and 0.3 < passed < 0.7, passed
    late.sort()
    return {
        "count": summary.accounting.scored,
        "seconds": took,
        "per_second": summary.accounting.scored / took,
        "late_p50_ms": late[len(late) // 2] * 1e3,
        "late_p99_ms": late[len(late) * 99 // 100] * 1e3,
        "late_max_ms": late[-1] * 1e3,
        "cpu": time.process_time() - cpu,
        "cpu_children": cpu_of_children() - children,
    }


def run(name: str, count: int) -> dict[str, float]:
    """The figures of one collection, in this process."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(collect(name, count))
    return uvloop.run(collect(name, count))


def main() -> None:
    """Prints a line for each verifier; writes one JSON line."""
    if (given := child_arguments()) is not None:
        print(json.dumps(run(**given)))
        return
    made = parser(__doc__, repeats=1)
    made.add_argument("--share", type=float, default=1.0, help="of the full counts")
    options = made.parse_args()
    share = 0.004 if options.quick else options.share
    cores = len(os.sched_getaffinity(0))
    print(f"Verifications, {CONCURRENCY} at once, on {cores} cores.\n")
    table = Table(
        ("verifier", 10), ("count", 7), ("a second", 9), ("p99 late ms", 12), ("max", 8),
        ("cores used", 11),
    )  # fmt: skip
    rows = {}
    for name, count in WORK.items():
        for _ in range(options.repeats):
            row = child("verification.py", {"name": name, "count": int(count * share)})
            used = (row["cpu"] + row["cpu_children"]) / row["seconds"]
            rows[name] = {key: round(value, 3) for key, value in row.items()}
            rows[name]["cores_used"] = round(used, 2)
            table.add(
                name, f"{row['count']:.0f}", f"{row['per_second']:.0f}",
                f"{row['late_p99_ms']:.1f}", f"{row['late_max_ms']:.0f}", f"{used:.2f}",
            )  # fmt: skip
    write(options.results, "verification", {"concurrency": CONCURRENCY, "verifiers": rows})


if __name__ == "__main__":
    main()
