"""The figures of a run folder, computed from its records."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from athlos.metrics.figures import FailureStats, RolloutStats, Summary
from athlos.metrics.summary import Tally
from athlos.runs.read import read_records, read_run
from athlos.runs.spec import RunSpec

__all__ = ["summarize_run"]


def summarize_run(run: Path) -> tuple[RunSpec, Summary]:
    """Reads a run, finished or not, and sums it up.

    Raises:
        ConfigError: It is no run folder, or a record is damaged.
    """
    file = read_run(run)
    spec = file.spec
    tally = Tally()
    stored = read_records(run, "tasks.jsonl", _Named)
    numbers = {task.id: number for number, task in enumerate(stored)}
    tasks = len(numbers) if file.tasks is None else file.tasks  # it has more while a run grows
    for rollout in read_records(run, "rollouts.jsonl", RolloutStats):
        tally.add(numbers.setdefault(rollout.task_id, len(numbers)), rollout)
    for failure in read_records(run, "failures.jsonl", FailureStats):
        tally.add_failure(numbers.setdefault(failure.task_id, len(numbers)), failure)
    return spec, tally.summary(
        offered=tasks * spec.samples if spec.group_width is None else None,
        samples=spec.samples,
        pass_threshold=spec.environment.pass_threshold,
    )


class _Named(Struct):
    id: str = ""
