"""How many short Python checks a second: in sandboxes, beside bare `python -c` without any.

python benchmarks/sandbox.py
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from athlos.sandbox import Pool
from common import Table, median, parser, spread, write

CHECK = """
def solve(numbers):
    return sorted(set(numbers))[-3:]

assert solve([3, 1, 2, 3, 9, 4]) == [3, 4, 9]
assert solve([]) == []
print("ok")
"""
FLOOR = "python -c, no sandbox"
AT_ONCE = len(os.sched_getaffinity(0)) + 1


def bare(count: int) -> float:
    """Checks a second in processes without a sandbox, as many at once as the pool has workers."""

    def one(_: int) -> None:
        command = [sys.executable, "-I", "-c", CHECK]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.stdout == b"ok\n", done

    with ThreadPoolExecutor(AT_ONCE) as threads:
        started = time.perf_counter()
        list(threads.map(one, range(count)))
        return count / (time.perf_counter() - started)


async def rate(check: Callable[[], Awaitable[str]], count: int) -> float:
    """Checks a second, all asked for at once."""
    await asyncio.gather(*(check() for _ in range(AT_ONCE)))  # all workers have begun
    started = time.perf_counter()
    said = await asyncio.gather(*(check() for _ in range(count)))
    took = time.perf_counter() - started
    assert set(said) == {"ok\n"}, said
    return count / took


async def sandboxed(count: int) -> dict[str, float]:
    """Checks a second in each of the ways that there are."""
    async with Pool(workers=AT_ONCE, spare=AT_ONCE) as pool:

        async def warm() -> str:
            return (await pool.run(CHECK)).stdout

        async def cold() -> str:
            return (await pool.exec(["python3", "-I", "-c", CHECK])).stdout

        async def own() -> str:
            async with turns, pool.lease() as sandbox:
                return (await sandbox.run(CHECK)).stdout

        turns = asyncio.Semaphore(AT_ONCE)
        async with pool.lease() as sandbox:
            session = await sandbox.python()

            async def cell() -> str:
                return (await session.run(CHECK)).stdout

            return {
                "pool.run": await rate(warm, count),
                "pool.exec python3 -c": await rate(cold, count),
                "a new sandbox for each": await rate(own, max(count // 5, 1)),
                "a session": await rate(cell, count),
            }


def main() -> None:
    """Prints checks a second and their ratio to the bare floor; writes one JSON line."""
    options = parser(__doc__, repeats=5).parse_args()
    count = 300
    if options.quick:
        options.repeats, count = 1, 6
    found: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        for name, value in {FLOOR: bare(count), **asyncio.run(sandboxed(count))}.items():
            found.setdefault(name, []).append(value)
    print(f"Short Python checks, {AT_ONCE} at once: the median of runs in turn, and their range.\n")
    table = Table(("way", 24), ("a second", 8), ("range", 11), ("ratio", 6))
    rows = {}
    for name, values in found.items():
        ratio = median([a / b for a, b in zip(values, found[FLOOR], strict=True)])
        rows[name] = {"per_second": round(median(values), 1), "ratio": round(ratio, 2)}
        table.add(name, f"{median(values):.0f}", spread(values), f"{ratio:.1f}")
    write(
        options.results, "sandbox", {"repeats": options.repeats, "at_once": AT_ONCE, "ways": rows}
    )


if __name__ == "__main__":
    main()
