"""Scoring: runs an environment's rewards and metrics on a finished conversation."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Sequence
from typing import Any

from athlos.engine.pool import ProcessPool
from athlos.environment import Environment, Scorer
from athlos.errors import AthlosError, VerifierError, VerifierTimeout
from athlos.types import Rollout

__all__ = ["add_components", "score", "score_group"]

_PROCESS_TIMEOUT = 30.0


async def score(env: Environment, rollout: Rollout, pool: ProcessPool | None) -> None:
    """Fills in `rewards`, `reward` and `metrics`; group rewards come when the group is complete.

    Raises:
        VerifierError: A reward raised, timed out, or returned no finite number.
    """
    clock = time.monotonic()
    for scorer in env.scorers:
        if scorer.kind == "group_reward":
            continue
        value = await _run(env, scorer, rollout, pool)
        if scorer.kind == "metric":
            if value is not None:
                rollout.metrics[scorer.name] = _number(value, scorer)
        else:
            rollout.rewards[scorer.name] = _number(value, scorer)
    rollout.reward = _total(env, rollout)
    rollout.timing.scoring += time.monotonic() - clock


async def score_group(env: Environment, rollouts: Sequence[Rollout]) -> list[dict[str, float]]:
    """The group rewards of each rollout of a task, by component.

    Raises:
        VerifierError: A group reward raised, or did not return one finite number a rollout.
    """
    components: list[dict[str, float]] = [{} for _ in rollouts]
    for scorer in env.scorers:
        if scorer.kind != "group_reward":
            continue
        values = await _run(env, scorer, list(rollouts), None)
        if not isinstance(values, Sequence) or len(values) != len(rollouts):
            raise VerifierError(
                f"group reward {scorer.name!r} must return {len(rollouts)} numbers, one for each "
                f"rollout; it returned {values!r:.100}"
            )
        for component, value in zip(components, values, strict=True):
            component[scorer.name] = _number(value, scorer)
    return components


def add_components(env: Environment, rollout: Rollout, components: dict[str, float]) -> None:
    """Adds group rewards to a rollout that was scored by itself."""
    rollout.rewards.update(components)
    rollout.reward = _total(env, rollout)


def _total(env: Environment, rollout: Rollout) -> float:
    weights = {scorer.name: scorer.weight for scorer in env.scorers}
    try:
        total = math.fsum(weights[name] * value for name, value in rollout.rewards.items())
    except OverflowError:
        total = math.inf
    if not math.isfinite(total):
        raise VerifierError(f"the weighted sum of the rewards {rollout.rewards} is not finite")
    return total


async def _run(env: Environment, scorer: Scorer, subject: Any, pool: ProcessPool | None) -> Any:
    try:
        return await _call(env, scorer, subject, pool)
    except VerifierTimeout:
        if scorer.on_timeout is None:
            raise
        if isinstance(subject, Rollout):  # so that it shows why the value is what it is
            subject.extra.setdefault("timed_out", []).append(scorer.name)
        return scorer.on_timeout


async def _call(env: Environment, scorer: Scorer, subject: Any, pool: ProcessPool | None) -> Any:
    if scorer.process and pool is not None:
        return await pool.score(env, scorer.name, subject, scorer.timeout or _PROCESS_TIMEOUT)
    deadline = asyncio.timeout(scorer.timeout)
    try:
        value = getattr(env, scorer.name)(subject)
        if inspect.isawaitable(value):
            async with deadline:
                value = await value
        return value
    except AthlosError:
        raise
    except (Exception, SystemExit) as error:  # an author's code may raise anything
        if isinstance(error, TimeoutError) and deadline.expired():
            raise VerifierTimeout(
                f"{scorer.kind} {scorer.name!r} took longer than {scorer.timeout:g} s"
            ) from error
        raise VerifierError(
            f"{scorer.kind} {scorer.name!r} raised {type(error).__name__}: {error}"
        ) from error


def _number(value: Any, scorer: Scorer) -> float:
    try:
        number = float(value)
    except Exception:  # noqa: BLE001 - whatever it is, it is no number
        number = math.nan
    if isinstance(value, str | bytes) or not math.isfinite(number):
        raise VerifierError(
            f"{scorer.kind} {scorer.name!r} must return a finite number; it returned {value!r:.100}"
        )
    return number
