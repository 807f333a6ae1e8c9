"""What the benchmarks share: processes of their own, figures, tables, and the lines they write.

A figure is taken in a new process, so that nothing of an earlier one is in its memory, and is
written as one line of JSON to `benchmarks/results/NAME.jsonl`, with what it was measured on.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_LIBRARIES = ("pyqwest", "uvloop", "msgspec")


@dataclass
class Clock:
    """CPU and wall seconds between `start` and `stop`, of this process and its ended children."""

    cpu: float = 0.0
    wall: float = 0.0

    def start(self) -> None:
        """Begins; what was before is warm-up."""
        self.cpu, self.wall = -_cpu(), -time.perf_counter()

    def stop(self) -> None:
        """Ends."""
        self.cpu += _cpu()
        self.wall += time.perf_counter()


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mb() -> float:
    """The most memory that this process ever had (resident), in MB of 10^6 bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    # Also counts the parent, if that was larger: the kernel carries it over when a program starts.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def allow_files(count: int) -> bool:
    """Raises the limit on open files as far as it goes; whether `count` sockets fit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard == resource.RLIM_INFINITY or hard >= count + 100


def child(
    script: str,
    arguments: Mapping[str, Any],
    *,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Runs `script --child ARGUMENTS` in a new process; returns the JSON of its last line.

    Raises:
        RuntimeError: It failed; the message is the end of what it said.
    """
    command = [python, str(HERE / script), "--child", json.dumps(arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return result


def child_arguments() -> dict[str, Any] | None:
    """The arguments that `child` gave to this process, or None in the parent."""
    if sys.argv[1:2] != ["--child"]:
        return None
    arguments: dict[str, Any] = json.loads(sys.argv[2])
    return arguments


def median(values: Sequence[float]) -> float:
    """The median; of one or two values, too."""
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The smallest and the largest, as text."""
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}"


def parser(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The command line that every benchmark has."""
    made = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    made.add_argument("--quick", action="store_true", help="the smallest form: does it run at all?")
    made.add_argument("--repeats", type=int, default=repeats)
    made.add_argument("--results", type=Path, default=HERE / "results", help="folder to write to")
    return made


def write(folder: Path, benchmark: str, row: Mapping[str, Any]) -> None:
    """Appends one line to `folder/benchmark.jsonl`: the row, and what it was measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    line = {"benchmark": benchmark, **_circumstances(), **row}
    with (folder / f"{benchmark}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _circumstances() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _commit() -> str | None:
    """The commit, with `+` if files differ from it; None without git."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


class Table:
    """Rows of text under a heading, printed as they come."""

    def __init__(self, *columns: tuple[str, int]) -> None:
        self._widths = [width for _, width in columns]
        self.add(*(name for name, _ in columns))

    def add(self, *cells: str) -> None:
        """Prints a row: the first cell to the left, the others to the right."""
        first, *others = zip(cells, self._widths, strict=True)
        text = "".join(f" {cell:>{width}}" for cell, width in others)
        print(f"{first[0]:{first[1]}}{text}", flush=True)
