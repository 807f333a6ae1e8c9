"""NeMo RL: rows in, our rollouts, results out (contract of NeMo RL 0.6 and 0.7).

    rollouts = NemoRollouts("./counter.py", policy_model(base_urls, "Qwen/Qwen3-4B"))
    for awaitable in rollouts.run(rows):          # in the order in which they come to an end
        row, result = await awaitable

It is what an environment actor needs: NeMo RL owns weights, groups and advantages, and this the
whole rollout. The distribution `athlos-nemo-gym` puts it under the names that NeMo RL imports.
Results cross processes as plain lists and numbers; so do errors.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Iterator, Mapping
from collections.abc import Sequence as Many
from concurrent.futures import Future
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec

from athlos.engine import Feed, collect
from athlos.environment import Environment
from athlos.errors import AthlosError, ConfigError
from athlos.models.client import Model
from athlos.registry import load
from athlos.rows import row_to_task
from athlos.train.loop_thread import LoopThread
from athlos.train.nemo_rl_model import policy_model
from athlos.train.nemo_rl_results import PARAMS, failure_result, mean_of, rollout_result
from athlos.train.projection import Projection, TrainingRollout
from athlos.train.stream import Stream
from athlos.train.versions import require
from athlos.types import Failure, Task

__all__ = ["READ", "GymError", "NemoRollouts", "policy_model"]

READ = ("nemo-rl", "0.6", "0.8")
"""The versions of NeMo RL whose contract this follows: from, and up to but without."""

Row = dict[str, Any]
Result = dict[str, Any]
Place = tuple[int, Row]

_GRACE = 60.0  # seconds that the thread may take to begin or to end
_STAMPED = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_tokens"}


class GymError(AthlosError):
    """What NeMo RL is told of with a status: it repeats what is 500 or more, and drops the rest.

    Attributes:
        status: As of HTTP.
        response_content: The message; NeMo RL prints it.
    """

    def __init__(self, message: str, *, hint: str = "", status: int = 500) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.response_content = message


class NemoRollouts:
    """Attempts at rows, in a thread of their own, for one environment.

    A failure never ends a step: its result is masked, with the mean reward of its group, so the
    baseline is that of the others. Only so many failures in a row are an error. Rows of one group
    must follow each other, as NeMo RL has them.

    Args:
        environment: As for `athlos.collect`.
        model: The policy; `policy_model` makes it.
        policy: `strict`: a rollout whose prompts do not go on with each other is masked.
            `main_only`: its main conversation is trained.
        truncated: `train`, or `mask`: rollouts that a limit ended are then compared only.
        failure_rewards: As in `Projection`; other failures have the mean of their group.
        fail_after: Failures without a rollout in between, after which a step is an error.
        config: The environment's settings.
        patience: Seconds that a row, or a group that is compared, may take.
        options: Of `athlos.collect`: `agent`, `deadline`, `attempts`, `models`, `out` ...

    Raises:
        ConfigError: NeMo RL is of another version than was read, or the arguments are wrong.
    """

    def __init__(
        self,
        environment: str | type[Environment],
        model: Model,
        *,
        policy: Literal["strict", "main_only"] = "strict",
        truncated: Literal["train", "mask"] = "train",
        failure_rewards: Mapping[str, float] | None = None,
        fail_after: int = 64,
        config: Any = None,
        patience: float = 7200.0,
        **options: Any,
    ) -> None:
        _check_version()
        if policy not in ("strict", "main_only"):
            raise ConfigError(f"NeMo RL takes one sequence a rollout, so not the policy {policy!r}")
        if fail_after < 1:
            raise ConfigError(f"fail_after must be at least 1, not {fail_after}")
        self._reference, self.env, self._model = environment, load(environment), model
        self._projection = Projection(
            policy=policy, advantages="none", truncated=truncated,
            failure_rewards=dict(failure_rewards or {}),
        )  # fmt: skip
        self._patience, self._fail_after = patience, fail_after
        self._options = {"config": config, "concurrency": 1024, **options}
        self._compares = any(scorer.kind == "group_reward" for scorer in self.env.scorers)
        self._streams: dict[int, Stream] = {}  # by the width of groups
        self._work: set[asyncio.Task[None]] = set()
        self._failed = 0
        self._last = ""
        self._stream(1)  # what is wrong with the options shows here
        self._thread = LoopThread("athlos-nemo-rl")

    def run(self, rows: Many[Row]) -> Iterator[Awaitable[tuple[Row, Result]]]:
        """Begins with all rows; each awaitable gives the next one that has come to its end.

        Raises:
            GymError: A row is no task of the environment; an awaitable raises it if nothing works.
        """
        if self._thread.closed:
            raise GymError("the rollouts have been closed", status=503)
        groups = self._groups(rows)
        results: list[Future[tuple[Row, Result]]] = [Future() for _ in rows]
        self._thread.call(self._begin, groups, iter(results), within=_GRACE)
        return (_wait(one) for one in results)

    def check(self) -> None:
        """Raises what keeps rollouts from coming about.

        Raises:
            GymError: The thread has ended, or nothing but failures came.
        """
        if self._thread.closed:
            raise GymError("the rollouts have been closed", status=503)
        if self._failed >= self._fail_after:
            raise GymError(
                f"{self._failed} attempts in a row failed, the last by {self._last}", status=503
            )

    def close(self) -> None:
        """Gives up what is under way and frees all resources. May be called twice."""
        if self._thread.closed:
            return
        try:
            self._thread.run(self._end(), _GRACE)
        finally:
            self._thread.close()

    def task(self, row: Row) -> Task:
        """The task of a row, with the sampling parameters that NeMo RL has put there.

        Raises:
            GymError: It is none.
        """
        known = {name: value for name, value in row.items() if not name.startswith("_")}
        try:
            task = (self.env.from_row or row_to_task)(known)
            params = row[PARAMS]
            given = {ours: params.get(theirs) for theirs, ours in _STAMPED.items()}
            task.sampling = {**task.sampling, **{k: v for k, v in given.items() if v is not None}}
            digest = hashlib.blake2b(msgspec.json.encode(task), digest_size=6).hexdigest()
        except (ConfigError, TypeError, ValueError, KeyError, AttributeError) as error:
            said, hint = getattr(error, "message", error), getattr(error, "hint", "")
            message = f"a row is no task of {self.env.name}: {said}"
            raise GymError(message, hint=hint, status=422) from None
        task.id = f"{task.id or 'row'}-{digest}"  # a row may come again with other sampling
        return task

    def _groups(self, rows: Many[Row]) -> list[tuple[Task, list[Place]]]:
        """Rows of one task that follow each other, each with its place."""
        groups: list[tuple[Task, list[Place]]] = []
        key = None
        for at, row in enumerate(rows):
            task = self.task(row)
            if key != (task.id, row.get("_ng_task_index")):
                key = task.id, row.get("_ng_task_index")
                groups.append((task, []))
            groups[-1][1].append((at, row))
        return groups

    def _make(self, width: int) -> Stream:
        options = dict(self._options)
        if self._compares and options.get("out") is not None:
            options["out"] = Path(options["out"]) / f"groups-of-{width}"
        run = collect(self._reference, self._model, tasks=Feed(), samples=width, **options)
        return Stream(run, projection=self._projection, patience=self._patience)

    def _begin(
        self, groups: list[tuple[Task, list[Place]]], results: Iterator[Future[tuple[Row, Result]]]
    ) -> None:
        for task, places in groups:
            work = asyncio.get_running_loop().create_task(
                self._group(task, [row for _, row in places], results)
            )
            self._work.add(work)
            work.add_done_callback(self._work.discard)

    async def _group(
        self, task: Task, rows: list[Row], results: Iterator[Future[tuple[Row, Result]]]
    ) -> None:
        """Attempts the rows of a group and hands results out, failures when all have ended."""
        due = len(rows)
        done: list[Result] = []
        failed: list[tuple[Row, Failure | Exception]] = []

        def hand_out(outcome: tuple[Row, Result] | Exception) -> None:
            nonlocal due
            due -= 1
            _settle(next(results), outcome)

        async def attempt(rows: list[Row]) -> None:
            try:
                group = await self._stream(len(rows)).attempt(task)
                ended: list[TrainingRollout | Failure] = [*group.rollouts, *group.failures]
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends this group only
                failed.extend((row, error) for row in rows)
                return
            for row, one in zip(rows, ended, strict=False):  # repeated attempts failed, too
                if isinstance(one, TrainingRollout):
                    self._failed = 0
                    done.append(rollout_result(one, row, self.env))
                    hand_out((row, done[-1]))
                else:
                    self._failed += 1
                    self._last = f"{one.failure_class}: {one.message}"
                    failed.append((row, one))

        try:
            if self._compares:
                await attempt(rows)
            else:
                await asyncio.gather(*(attempt([row]) for row in rows))
            others = mean_of(done)
            for row, why in failed:
                hand_out(self._of_failure(row, why, others))
        except asyncio.CancelledError:
            while due:
                hand_out(GymError("the rollouts have been closed", status=503))
            raise

    def _of_failure(
        self, row: Row, why: Failure | Exception, others: Mapping[str, Any]
    ) -> tuple[Row, Result] | Exception:
        if isinstance(why, Exception):
            return GymError(
                f"no rollout: {why}", status=504 if isinstance(why, TimeoutError) else 500
            )
        try:
            self.check()
        except GymError as error:
            return error
        reward = self._projection.failure_rewards.get(why.failure_class)
        return row, failure_result(why, row, others, reward)

    def _stream(self, width: int) -> Stream:
        if width not in self._streams:
            self._streams[width] = self._make(width)
        return self._streams[width]

    async def _end(self) -> None:
        for work in list(self._work):
            work.cancel()
        if self._work:
            await asyncio.wait(self._work, timeout=_GRACE / 2)
        for stream in self._streams.values():
            await stream.close()
        await self._model.close()


async def _wait(one: Future[tuple[Row, Result]]) -> tuple[Row, Result]:
    return await asyncio.wrap_future(one)


def _settle(future: Future[tuple[Row, Result]], outcome: tuple[Row, Result] | Exception) -> None:
    if not future.set_running_or_notify_cancel():
        return  # nobody waits for it any more
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _check_version() -> None:
    """NeMo RL need not be there: its results may be read by another process."""
    try:
        version(READ[0])
    except PackageNotFoundError:
        return
    require(*READ)
