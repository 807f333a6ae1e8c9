"""Groups: the rollouts of one task, held back until all are there to be compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from athlos.engine.attempt import Attempts, Job, as_failure, own_cancellation
from athlos.engine.scoring import add_components, score_group
from athlos.errors import VerifierError
from athlos.types import Failure, Rollout, Task

__all__ = ["Groups"]


class Groups:
    """Collects outcomes by task and scores a group when its last outcome is there.

    Args:
        attempts: What the attempts of the run have in common.
        jobs: Everything that will be settled.
        stored: Rollouts that an earlier part of the run has written. Those of the same tasks take
            part in the comparison; their own rewards stay as they were.
    """

    def __init__(self, attempts: Attempts, jobs: Iterable[Job], stored: Iterable[Rollout]) -> None:
        self._attempts = attempts
        self._owed = Counter(job.task.id for job in jobs)
        self._held: dict[str, list[Rollout]] = {}
        self._stored: dict[str, list[Rollout]] = {}
        for rollout in stored:
            if rollout.task_id in self._owed:
                self._stored.setdefault(rollout.task_id, []).append(rollout)

    async def settle(self, task: Task, outcome: Rollout | Failure) -> list[Rollout | Failure]:
        """Takes an outcome; returns what is final now."""
        held = self._held.setdefault(task.id, [])
        ready: list[Rollout | Failure] = []
        if isinstance(outcome, Rollout):
            held.append(outcome)
        else:
            ready.append(outcome)
        self._owed[task.id] -= 1
        if self._owed[task.id]:
            return ready
        del self._owed[task.id], self._held[task.id]
        return ready + await self._score(task, held)

    async def _score(self, task: Task, new: list[Rollout]) -> list[Rollout | Failure]:
        if not new:
            return []
        group = [*self._stored.pop(task.id, ()), *new]
        group.sort(key=lambda rollout: rollout.sample)
        try:
            env = self._attempts.create(task)
            components = await score_group(env, group)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001
            # an author's code may raise anything
            if isinstance(error, asyncio.CancelledError):
                error = own_cancellation(error)
            return [as_failure(rollout, error) for rollout in new]
        settled: list[Rollout | Failure] = []
        for rollout, component in zip(group, components, strict=True):
            if not any(rollout is mine for mine in new):
                continue
            try:
                add_components(env, rollout, component)
            except VerifierError as error:
                settled.append(as_failure(rollout, error))
            else:
                settled.append(rollout)
        return settled
