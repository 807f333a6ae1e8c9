"""One attempt, from `setup` to its record. Whatever happens in it stays in it."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from athlos.agents.base import Agent
from athlos.engine.pool import ProcessPool
from athlos.engine.scoring import score
from athlos.environment import Environment
from athlos.errors import (
    AgentError,
    AthlosError,
    AttemptTimeout,
    ConfigError,
    EnvError,
    JudgeError,
    ModelError,
)
from athlos.models.client import Model
from athlos.types import Failure, Rollout, Task, Timing

__all__ = ["Attempts", "Job", "as_failure", "guard", "own_cancellation", "teardown"]

_TEARDOWN_TIMEOUT = 60.0
_LONGEST = 20_000  # characters of a message or traceback: a model's text may be in it


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be attempted: a task, which sample of it, and how many attempts failed before."""

    task: Task
    sample: int
    attempt: int = 0

    @property
    def id(self) -> str:
        """Unique in a run."""
        return f"{self.task.id}.{self.sample}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class Attempts:
    """What all attempts of a run have in common."""

    env: type[Environment]
    config: Any
    shared: Any
    models: Mapping[str, Any]
    model: Model
    agent: Agent
    sampling: Mapping[str, Any]
    seed: int | None
    deadline: float
    pool: ProcessPool | None

    async def run(self, job: Job) -> Rollout | Failure:
        """Attempts a job. Never raises, except when cancelled."""
        rollout = Rollout(
            id=job.id,
            task_id=job.task.id,
            sample=job.sample,
            environment=self.env.name,
            model=self.model.name,
            timing=Timing(started=time.time()),
            attempt=job.attempt,
        )
        clock = time.monotonic()
        try:
            async with asyncio.timeout(self.deadline) as deadline:
                await self._conduct(job, rollout)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001
            # a failure belongs to its attempt
            if isinstance(error, asyncio.CancelledError):
                error = own_cancellation(error)
            if isinstance(error, TimeoutError) and deadline.expired():
                error = AttemptTimeout(f"the attempt did not end within {self.deadline:g} s")
            rollout.timing.duration = time.monotonic() - clock
            return as_failure(rollout, error)
        rollout.timing.duration = time.monotonic() - clock
        return rollout

    def create(self, task: Task, seed: int = 0) -> Environment:
        """An instance of the environment, before `setup`."""
        return self.env(task, config=self.config, shared=self.shared, models=self.models, seed=seed)

    async def _conduct(self, job: Job, rollout: Rollout) -> None:
        seed = derive_seed(self.seed or 0, job.task.id, job.sample)
        sampling: Mapping[str, Any] = self.sampling
        if job.task.sampling or self.seed is not None:
            sampling = {**job.task.sampling, **self.sampling}
            if self.seed is not None:
                sampling["seed"] = seed
        clock = time.monotonic()
        env = await guard("__init__", lambda: self.create(job.task, seed))
        try:
            await guard("setup", env.setup)
            rollout.messages = env.task.messages()  # setup may have replaced the task
            rollout.timing.environment += time.monotonic() - clock
            try:
                await self.agent.run(env, self.model, rollout, sampling)
            except AthlosError:
                raise
            except (Exception, SystemExit) as error:  # an author's code may raise anything
                raise AgentError(f"the agent raised {type(error).__name__}: {error}") from error
            calls, usage, timing = rollout.calls, rollout.usage, rollout.timing
            try:
                await score(env, rollout, self.pool)
            finally:
                # rewards had the rollout in their hands; what happened and whose it is stays
                rollout.calls, rollout.usage, rollout.timing = calls, usage, timing
                rollout.id, rollout.task_id = job.id, job.task.id
                rollout.sample, rollout.attempt = job.sample, job.attempt
        except BaseException:
            with suppress(AthlosError):  # the first error is the one to report
                await teardown(env)
            raise
        await teardown(env)


async def teardown(env: Environment) -> None:
    """Takes an attempt down, within a deadline."""
    try:
        async with asyncio.timeout(_TEARDOWN_TIMEOUT):
            await guard("teardown", env.teardown)
    except TimeoutError as error:
        raise EnvError(f"teardown() took longer than {_TEARDOWN_TIMEOUT:g} s") from error


async def guard(what: str, run: Any) -> Any:
    """Calls an author's method; what it raises is the environment's fault."""
    try:
        result = run()
        return await result if inspect.isawaitable(result) else result
    except AthlosError:
        raise
    except (Exception, SystemExit) as error:  # an author's code may raise anything
        raise EnvError(f"{what}() raised {type(error).__name__}: {error}") from error


def own_cancellation(error: asyncio.CancelledError) -> EnvError:
    """The error for a cancellation that nobody asked for: author's code awaited what it cancelled.

    Raises:
        CancelledError: The current task was asked to end.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    made = EnvError("the environment's own code raised CancelledError")
    made.__cause__ = error
    return made


def as_failure(rollout: Rollout, error: BaseException) -> Failure:
    """The record of an attempt that an error ended."""
    known = error if isinstance(error, AthlosError) else None
    trace = ""
    if not isinstance(error, AttemptTimeout | ModelError | JudgeError | ConfigError):
        trace = "".join(traceback.format_exception(error.__cause__ or error))
    if known is not None and known.failure_class == "verifier_error" and known.hint:
        trace = known.hint  # it happened in a worker process, which sent its own
    message = known.message if known else f"{type(error).__name__}: {error}"
    return Failure(
        id=rollout.id,
        task_id=rollout.task_id,
        sample=rollout.sample,
        attempt=rollout.attempt,
        failure_class=known.failure_class if known else "engine_error",
        message=_printable(message)[:_LONGEST],
        retryable=known.retryable if known else False,
        traceback=_printable(trace)[-_LONGEST:],
        environment=rollout.environment,
        model=rollout.model,
        messages=rollout.messages,
        calls=rollout.calls,
        usage=rollout.usage,
        timing=rollout.timing,
    )


def _printable(text: str) -> str:
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    return text.encode("utf-8", "replace").decode()


def derive_seed(seed: int, task_id: str, sample: int) -> int:
    """31 bits from the run's seed, the task and the sample: the same on every machine."""
    hashed = hashlib.blake2b(f"{seed}\0{task_id}\0{sample}".encode(), digest_size=4).digest()
    return int.from_bytes(hashed, "big") >> 1
