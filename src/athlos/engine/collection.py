"""A collection under way: its workers, its counters, its folder, and how it is stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from athlos.agents import Agent
from athlos.engine.attempt import Attempts, Job, as_failure
from athlos.engine.groups import Groups
from athlos.engine.plan import TaskSource, plan_tasks
from athlos.engine.pool import ProcessPool
from athlos.engine.roles import Roles
from athlos.engine.shared import enter_shared
from athlos.environment import Environment
from athlos.errors import ConfigError, EnvError
from athlos.metrics.summary import FailureStats, RolloutStats, Summary, Tally
from athlos.models.client import Model
from athlos.runs.folder import RunFolder, encode
from athlos.runs.read import read_records, read_rollouts
from athlos.runs.spec import RunSpec
from athlos.types import Failure, Message, Rollout, Task

__all__ = ["Collection"]

_log = logging.getLogger("athlos")

_SYNC_INTERVAL = 1.0


class Collection:
    """A collection: iterate over it once; read its counters at any time.

    Attributes:
        spec: The resolved configuration.
        out: The run folder, or None.
        failures: Failed attempts of this part of the run.
        offered: (task, sample) pairs in all; None until the tasks are known.
        resumed: How many of them an earlier part of the run had done.
        repaired: Bytes of torn records that were cut off when the folder was opened.
        started: `time.monotonic()` at the start of the first attempt; None before.
        in_flight: Attempts under way.
        tokens: Sampled tokens of this part of the run.
        tally: Everything that the summary is made of, up to now.
    """

    def __init__(
        self,
        env: type[Environment],
        reference: str | type[Environment],
        config: Any,
        model: Model,
        agent: Agent,
        source: TaskSource,
        spec: RunSpec,
        models: dict[str, Model],
        *,
        concurrency: int,
        deadline: float,
        out: Path | None,
    ) -> None:
        self.spec = spec
        self.out = out
        self.failures: list[Failure] = []
        self.offered: int | None = None
        self.resumed = 0
        self.repaired = 0
        self.started: float | None = None
        self.in_flight = 0
        self.tokens = 0
        self._ended = 0
        self.tally = Tally()
        self._env = env
        self._reference = reference
        self._config = config
        self._model = model
        self._agent = agent
        self._source = source
        self._models = models
        self._concurrency = concurrency
        self._deadline = deadline
        self._folder: RunFolder | None = None
        self._begun = False
        self._stopping = False
        self._fault: ConfigError | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._runner: asyncio.Task[None] | None = None
        self._ready: asyncio.Queue[Rollout | None] = asyncio.Queue()
        self._taken = asyncio.Event()

    def stop(self) -> None:
        """Begins no further attempt; those under way go on to their end."""
        self._stopping = True

    def drop(self) -> None:
        """Begins no further attempt and cancels those under way; they stay owed."""
        self._stopping = True
        for worker in self._workers:
            worker.cancel()
        if not self._workers and self._runner is not None:
            self._runner.cancel()  # still reading tasks, or in `shared`: there is nothing to keep

    @property
    def done(self) -> int:
        """Samples that ended, those of earlier parts of the run included."""
        return self.resumed + self._ended

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `drop` was called."""
        return self._stopping

    @property
    def waiting(self) -> tuple[int, str]:
        """Calls of the policy that wait to be repeated, and what the last one that failed said."""
        return self._model.waiting, self._model.trouble

    def summary(self) -> Summary:
        """The figures up to now, those of earlier parts of the run included."""
        return self.tally.summary(
            offered=self.offered or 0,
            pass_threshold=self._env.pass_threshold,
            samples=self.spec.samples,
        )

    async def run(self) -> Summary:
        """Collects everything and returns the summary, for callers that need no rollouts."""
        async for _ in self:
            pass
        return self.summary()

    async def close_models(self) -> None:
        """Closes the policy and the other models, for a caller that made them for it."""
        for model in (self._model, *self._models.values()):
            await model.close()

    async def __aiter__(self) -> AsyncIterator[Rollout]:
        if self._begun:
            raise ConfigError("a collection can be iterated once", hint="Call collect() again.")
        self._begun = True
        runner = self._runner = asyncio.create_task(self._run())
        try:
            while (rollout := await self._ready.get()) is not None:
                self._taken.set()
                yield rollout
            await runner
        finally:
            if not runner.done():
                runner.cancel()
                with suppress(asyncio.CancelledError):
                    await runner

    async def _run(self) -> None:
        try:
            await self._conduct()
        finally:
            self._ready.put_nowait(None)

    async def _conduct(self) -> None:
        for model in (self._model, *self._models.values()):
            await model.connect()
        self.spec.model.name = self._model.name
        for role, model in self._models.items():
            self.spec.roles[role].name = model.name
        if self._env.tools and not self._model.offers_tools:
            _log.warning(
                "%s cannot call tools: its chat template does not mention them", self._model.name
            )
        async with AsyncExitStack() as stack:
            if self.out is not None:
                self._folder = RunFolder(self.out, self.spec)
                stack.callback(self._folder.close)
                self.repaired = self._folder.repaired
            tasks = await self._tasks()
            self.offered = len(tasks) * self.spec.samples
            done, failed = self._resume()
            jobs = [
                Job(task, sample, failed.get((task.id, sample), 0))
                for task in tasks
                for sample in range(self.spec.samples)
                if (task.id, sample) not in done
            ]
            self.resumed = self.offered - len(jobs)
            if jobs:
                attempts = await self._attempts(stack)
                await self._collect(attempts, jobs)
            if self._folder is not None:
                self._folder.write_metrics(self.summary())

    async def _tasks(self) -> list[Task]:
        limit = self.spec.limit
        if self._folder is None:
            return await self._source.read(limit)
        stored = self._folder.stored_tasks()
        if limit is not None and len(stored) >= limit:
            self._folder.add_tasks([])
            return stored[:limit]
        new = plan_tasks(stored, await self._source.read(limit), self._env.name)
        self._folder.add_tasks(new)
        return stored + new

    def _resume(self) -> tuple[set[tuple[str, int]], dict[tuple[str, int], int]]:
        """What earlier parts of the run did: samples done, and failed attempts of the others."""
        done: set[tuple[str, int]] = set()
        failed: dict[tuple[str, int], int] = {}
        if self._folder is not None and self._folder.resumed:
            path = self._folder.path
            for rollout in read_records(path, "rollouts.jsonl", RolloutStats):
                done.add((rollout.task_id, rollout.sample))
                self.tally.add(rollout)
            for failure in read_records(path, "failures.jsonl", FailureStats):
                self.tally.add_failure(failure)
                key = (failure.task_id, failure.sample)
                failed[key] = failed.get(key, 0) + 1
        return done, failed

    async def _attempts(self, stack: AsyncExitStack) -> Attempts:
        pool = None
        if any(scorer.process for scorer in self._env.scorers):
            pool = ProcessPool(self._reference)
            stack.push_async_callback(pool.close)
        return Attempts(
            env=self._env,
            config=self._config,
            shared=await enter_shared(self._env, self._config, stack),
            models=Roles(self._models),
            model=self._model,
            agent=self._agent,
            sampling=self.spec.sampling,
            seed=self.spec.seed,
            deadline=self._deadline,
            pool=pool,
        )

    async def _collect(self, attempts: Attempts, jobs: list[Job]) -> None:
        groups = None
        if any(scorer.kind == "group_reward" for scorer in self._env.scorers):
            groups = Groups(attempts, jobs, self._stored_rollouts())
        self.started = time.monotonic()
        queue = iter(jobs)
        self._workers = [
            asyncio.create_task(self._work(attempts, groups, queue))
            for _ in range(min(self._concurrency, len(jobs)))
        ]
        syncer = asyncio.create_task(self._sync())
        try:
            ended, _ = await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in ended:
                if not worker.cancelled() and (error := worker.exception()):
                    raise error
            await asyncio.wait(self._workers)
            if self._fault is not None:
                raise self._fault
        finally:
            for task in (*self._workers, syncer):
                task.cancel()
            await asyncio.gather(*self._workers, syncer, return_exceptions=True)

    async def _work(self, attempts: Attempts, groups: Groups | None, queue: Iterator[Job]) -> None:
        for job in queue:
            if self._stopping:
                return
            self.in_flight += 1
            try:
                outcome = await attempts.run(job)
            finally:
                self.in_flight -= 1
            self.tokens += outcome.usage.completion_tokens
            self._keep(*([outcome] if groups is None else await groups.settle(job.task, outcome)))
            while self._ready.qsize() > self._concurrency:  # the caller is slower than the model
                self._taken.clear()
                await self._taken.wait()

    def _keep(self, *outcomes: Rollout | Failure) -> None:
        """Writes, counts and hands out what is final."""
        kept = outcomes
        if self._folder is not None:
            written = [_encode(outcome) for outcome in outcomes]
            self._folder.add(written)
            kept = tuple(record for record, _ in written)
        self._ended += len(kept)
        for outcome in kept:
            if isinstance(outcome, Rollout):
                self.tally.add(outcome)
                self._ready.put_nowait(outcome)
            else:
                self.tally.add_failure(outcome)
                self.failures.append(outcome)

    def _stored_rollouts(self) -> Iterator[Rollout]:
        """What earlier parts of the run wrote, for the groups that are not complete."""
        if self._folder is not None and self._folder.resumed:
            yield from read_rollouts(self._folder.path)

    async def _sync(self) -> None:
        """Bounds what a crash of the machine can take: a second's worth."""
        while self._folder is not None:
            await asyncio.sleep(_SYNC_INTERVAL)
            try:
                await asyncio.to_thread(self._folder.sync)
            except ConfigError as error:
                self._fault = error
                self.drop()
                return


def _encode(outcome: Rollout | Failure) -> tuple[Rollout | Failure, bytes]:
    """The outcome and its line; a failure if the environment put into it what no record holds."""
    try:
        return outcome, encode(outcome)
    except (TypeError, ValueError, RecursionError) as error:
        reason = EnvError(f"the record cannot be written so that it can be read again: {error}")
    if isinstance(outcome, Rollout):
        outcome = as_failure(outcome, reason)
    outcome.messages = [message for message in outcome.messages if _readable(message)]
    return outcome, encode(outcome)


def _readable(message: Message) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(message), type=Message)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
