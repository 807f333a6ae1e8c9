"""The figures of a run folder, computed from its records."""

from __future__ import annotations

from pathlib import Path

from athlos.metrics.summary import FailureStats, RolloutStats, Summary, Tally
from athlos.runs.read import read_records, read_run, read_tasks
from athlos.runs.spec import RunSpec

__all__ = ["summarize_run"]


def summarize_run(run: Path) -> tuple[RunSpec, Summary]:
    """Reads a run, finished or not, and sums it up.

    Raises:
        ConfigError: It is no run folder, or a record is damaged.
    """
    spec = read_run(run).spec
    tally = Tally()
    for rollout in read_records(run, "rollouts.jsonl", RolloutStats):
        tally.add(rollout)
    for failure in read_records(run, "failures.jsonl", FailureStats):
        tally.add_failure(failure)
    offered = len(read_tasks(run)) * spec.samples
    return spec, tally.summary(
        offered=offered,
        samples=spec.samples,
        pass_threshold=spec.environment.pass_threshold,
    )
