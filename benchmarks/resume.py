"""How long a big run takes to go on: from the start of the process to its first new attempt.

A run folder of that many records is made, of which a few are left to do; then a new process
resumes it with a model that answers at once. Nothing is left out: the interpreter, the imports,
the lock, the index, the tasks.

    python benchmarks/resume.py --tasks 1000000 --samples 1
    python benchmarks/resume.py --tasks 125000 --samples 8
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from athlos import Environment, Message, Rollout, Task, collect, metric, reward
from athlos.testing import fake_model

RESULTS = Path(__file__).parent / "results" / "resume.jsonl"
PROMPT = "Solve {0}x + 7 = 43 for x. Think step by step and put the answer into a box. " * 2
ANSWER = "Subtract 7 from both sides, then divide; check it by putting it in again.\n" * 12
BATCH = 256


class Equations(Environment):
    """Many questions, three rewards, three metrics."""

    count = 1_000_000

    @classmethod
    def tasks(cls, config: Any, split: str) -> Iterator[Task]:
        """As many as are asked for."""
        for number in range(cls.count):
            yield Task(PROMPT.format(number), {"answer": str(number)}, id=f"equation-{number}")

    def setup(self) -> None:
        """Reports that an attempt begins."""
        report("first attempt")

    @reward
    def correct(self, rollout: Rollout) -> float:
        """Whether the answer is there."""
        return float(self.task.info["answer"] in rollout.answer)

    @reward(weight=0.1)
    def boxed(self, rollout: Rollout) -> float:
        """Whether there is a box."""
        return float("\\boxed" in rollout.answer)

    @reward(weight=0.1)
    def brief(self, rollout: Rollout) -> float:
        """Whether it is short."""
        return float(len(rollout.answer) < 1000)

    @metric
    def characters(self, rollout: Rollout) -> float:
        """Length of the answer."""
        return float(len(rollout.answer))

    @metric
    def lines(self, rollout: Rollout) -> float:
        """Lines of the answer."""
        return float(rollout.answer.count("\n"))

    @metric
    def digits(self, rollout: Rollout) -> float:
        """Digits in the answer."""
        return float(sum(c.isdigit() for c in rollout.answer))


def collection(folder: Path, tasks: int, samples: int) -> Any:
    """The run, made or resumed."""
    Equations.count = tasks
    model = fake_model(lambda messages: ANSWER, name="fake")
    return collect(Equations, model, samples=samples, concurrency=8, out=folder)


def make(folder: Path, tasks: int, samples: int, left: int) -> None:
    """Writes all records but the last few, as a collection would."""
    from athlos.engine.plan import TaskSource, plan_tasks
    from athlos.runs import RunFolder, encode
    from athlos.types import Call, Timing, Usage

    spec = collection(folder, tasks, samples).spec
    run = RunFolder(folder, spec)
    source = TaskSource(Equations, Equations.make_config(), "test")
    asyncio.run(plan_tasks(source, run, None))
    batch = []
    for pair in range(tasks * samples - left):
        number, sample = divmod(pair, samples)
        rollout = Rollout(
            id=f"equation-{number}.{sample}.0",
            task_id=f"equation-{number}",
            sample=sample,
            environment="Equations",
            model="fake",
            stop_reason="answered",
            reward=0.1,
            rewards={"correct": 0.0, "boxed": 0.0, "brief": 1.0},
            metrics={"characters": 900.0, "lines": 12.0, "digits": float(pair % 17)},
            messages=[Message("user", PROMPT.format(number)), Message("assistant", ANSWER)],
            calls=[Call(1, "stop", Usage(40, 220), 1.7e9 + pair, 1.5 + pair % 997 / 100)],
            turns=1,
            usage=Usage(40, 220),
            timing=Timing(1.7e9 + pair, 1.6 + pair % 997 / 100, 1.5 + pair % 997 / 100),
        )
        batch.append((number, rollout, encode(rollout)))
        if len(batch) == BATCH:
            run.add(batch)
            run.sync()
            batch.clear()
    run.add(batch)
    run.close()


def report(event: str, seen: set[str] = set()) -> None:  # noqa: B006 - once for the process
    """Prints the seconds since the process began, and the most memory that it had, once."""
    if event not in seen:
        seen.add(event)
        status = Path("/proc/self/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        started = float(os.environ["STARTED"])
        row = {"event": event, "seconds": time.time() - started, "peak_mb": peak}
        print(json.dumps(row), flush=True)


async def resume(folder: Path, tasks: int, samples: int) -> None:
    """Goes on to the end."""
    summary = await collection(folder, tasks, samples).run()
    report("end")
    assert summary.reward.n == tasks * samples, summary.accounting


def measure(folder: Path, tasks: int, samples: int) -> dict[str, Any]:
    """Resumes in a process of its own."""
    command = [sys.executable, __file__, "--resume", str(folder)]
    command += ["--tasks", str(tasks), "--samples", str(samples)]
    environment = {**os.environ, "STARTED": str(time.time())}
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    first, end = (json.loads(line) for line in said.splitlines())
    return {
        "tasks": tasks,
        "samples": samples,
        "first_attempt_s": first["seconds"],
        "first_attempt_mb": first["peak_mb"],
        "end_s": end["seconds"],
        "end_mb": end["peak_mb"],
    }


def main() -> None:
    """Prints the figures and appends them to the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--left", type=int, default=16, help="samples that are left to do")
    parser.add_argument("--folder", type=Path, help="make the run here, and keep it")
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resume:
        import uvloop

        uvloop.run(resume(options.resume, options.tasks, options.samples))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "run"
        if not folder.exists():
            started = time.perf_counter()
            make(folder, options.tasks, options.samples, options.left)
            print(f"made in {time.perf_counter() - started:.0f} s")
        data = folder / "rollouts.jsonl"
        row = measure(folder, options.tasks, options.samples)
        row |= {"left": options.left, "data_mb": data.stat().st_size / 2**20}
    print(json.dumps(row, indent=2))
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
