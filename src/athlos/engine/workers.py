"""The attempts under way: how many at once, what becomes of them, and how they are ended early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from athlos.engine.attempt import ENDING, Attempts, Job
from athlos.engine.garbage import collect_garbage
from athlos.engine.groups import Group, Groups
from athlos.engine.jobs import Jobs
from athlos.engine.recorder import Recorder
from athlos.errors import BudgetError
from athlos.types import Failure, Rollout

__all__ = ["Workers"]

_AT_ONCE = 64  # attempts that begin before it is looked whether a reply is there


class Workers:
    """Makes attempts until there are none left.

    Args:
        attempts: How one is made.
        jobs: Which ones.
        recorder: Gets every outcome.
        groups: Follows the groups, if anybody wants to know of them.
        complete: Gets every group that is complete, after its outcomes.
        concurrency: Attempts at once.
        tries: Attempts at a sample in this part of the run, if they fail in a way that another may
            not.

    Attributes:
        running: The attempts under way.
        stopping: Whether no further attempt begins.
        ceiling: Whether the run's ceiling refused a call.
    """

    def __init__(
        self,
        attempts: Attempts,
        jobs: Jobs,
        recorder: Recorder,
        groups: Groups | None,
        complete: Callable[[Group], None],
        *,
        concurrency: int,
        tries: int,
    ) -> None:
        self.running: dict[Job, None] = {}
        self.stopping = False
        self.ceiling = False
        self._attempts = attempts
        self._jobs = jobs
        self._recorder = recorder
        self._groups = groups
        self._complete = complete
        self._concurrency = concurrency
        self._tries = tries
        self._may_begin = asyncio.Event()
        self._may_begin.set()
        self._full = self._paused = self._idle = False
        self._dropped = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, at_most: int | None) -> None:
        """Works until there is nothing left to do, or to be done.

        Args:
            at_most: Attempts that there are, if that is known.
        """
        count = self._concurrency if at_most is None else min(self._concurrency, at_most)
        try:
            while (missing := count - len(self._tasks)) > 0:
                begin = range(min(missing, _AT_ONCE))
                self._tasks += [asyncio.create_task(self._work()) for _ in begin]
                await asyncio.sleep(0)
            ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                if not task.cancelled() and (error := task.exception()):
                    raise error
        finally:
            for task in self._tasks:
                task.cancel(ENDING)
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """Begins no further attempt, except to complete the groups under way."""
        self.stopping = True
        self._may_begin.set()

    def drop(self, reason: str) -> None:
        """Begins no further attempt and gives up those under way."""
        self.stop()
        self._dropped = True
        for job in list(self.running):
            job.give_up(reason)

    def hold(self, full: bool) -> None:
        """Whether to wait with further attempts: the caller has not taken what there is."""
        self._full = full
        self._decide()

    def wake(self) -> None:
        """There may be something to do again."""
        self._idle = False
        self._decide()

    def pause(self) -> None:
        """Begins no attempt and stops the clocks of those under way."""
        self._paused = True
        self._decide()
        for job in self.running:
            job.hold()

    def resume(self) -> None:
        """Goes on after a pause."""
        self._paused = False
        self._decide()
        for job in self.running:
            job.go_on()

    def _decide(self) -> None:
        if (self._full or self._paused or self._idle) and not self.stopping:
            self._may_begin.clear()
        else:
            self._may_begin.set()

    def _next(self) -> Job | None:
        if not self.stopping:
            return self._jobs.next()
        if self._groups is None or self._dropped or self.ceiling:
            return None
        return self._jobs.next(only_begun=True)

    async def _work(self) -> None:
        while True:
            while not self._may_begin.is_set():
                await self._may_begin.wait()
            job = self._next()
            if job is None:
                if self.stopping or not self._jobs.more:
                    return
                self._idle = True
                self._decide()
                continue
            self.running[job] = None
            try:
                outcome = await self._attempts.run(job)
            finally:
                del self.running[job]
            collect_garbage()
            if isinstance(outcome, Failure) and self._again(job, outcome):
                continue
            if self._groups is None:
                self._recorder.keep(job.number, outcome)
            else:
                await self._settle(self._groups, job, outcome)

    def _again(self, job: Job, failure: Failure) -> bool:
        """Whether a failed attempt is repeated; it is recorded then."""
        if failure.failure_class == BudgetError.failure_class:
            self.ceiling = True
            self.stop()
        if not failure.retryable or job.gone or self.stopping or job.again + 1 >= self._tries:
            return False
        self._recorder.keep(job.number, failure)
        retry = job.retry()
        if self._groups is not None:
            self._groups.retried(job, retry)
        self._jobs.again(retry)
        self.wake()
        return True

    async def _settle(self, groups: Groups, job: Job, outcome: Rollout | Failure) -> None:
        final, group = await groups.settle(job, outcome)
        for one in final:
            kept = self._recorder.settle(job.number, one)
            if kept is not one and group is not None:  # no record can hold it
                group.rollouts = [rollout for rollout in group.rollouts if rollout is not one]
                if isinstance(kept, Failure):
                    group.failures.append(kept)
        if group is not None:
            passed = sum(r.reward >= self._attempts.env.pass_threshold for r in group.rollouts)
            self._jobs.told(job.number, passed, len(group.rollouts))
            done = group
            self._recorder.then(lambda: self._complete(done))
