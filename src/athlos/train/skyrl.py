"""SkyRL: a generator (contract of SkyRL 0.4's `GeneratorInterface`).

    class Experiment(BasePPOExp):
        def get_generator(self, cfg, tokenizer, inference_engine_client):
            url = inference_engine_client.get_endpoint_url() + "/v1"
            model = Model(url, tokens=Exact("Qwen/Qwen3-4B"))
            return generator("./counter.py", model)

The rows of the data set are those of `rows`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence as Many
from itertools import groupby
from typing import Any, Literal

import msgspec

from athlos.environment import Environment
from athlos.errors import ConfigError
from athlos.models.client import Model
from athlos.registry import load
from athlos.train.attempts import TASK, Attempts, Outcome, neutral_rewards, read_task, token_rows
from athlos.train.tables import TaskTable
from athlos.train.versions import require
from athlos.types import Failure, Task

__all__ = ["READ", "Generator", "generator", "rows"]

READ = ("skyrl", "0.4", "0.5")
"""The versions of SkyRL whose contract this follows: from, and up to but without."""

_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "min_p": "min_p", "stop": "stop",
             "max_generate_length": "max_tokens", "max_tokens": "max_tokens"}  # fmt: skip


def generator(
    environment: str | type[Environment],
    model: Model,
    *,
    step_wise: bool = False,
    truncated: Literal["train", "mask"] = "train",
    **options: Any,
) -> Generator:
    """Makes what `BasePPOExp.get_generator` returns.

    Args:
        environment: As for `athlos.collect`.
        model: The policy; it must send token ids.
        step_wise: As `generator.step_wise_trajectories`: a rollout may come to several rows.
            Otherwise the row is that of its main conversation.
        truncated: `train`, or `mask`: rollouts that a limit ended are then compared only.
        options: Of `athlos.collect`, and `patience`: seconds that a group may take.

    Raises:
        ConfigError: SkyRL is of another version than was read, or the arguments are wrong.
    """
    require(*READ)
    from skyrl.train.generators.base import (  # type: ignore[import-not-found,unused-ignore]
        GeneratorInterface,
    )

    GeneratorInterface.register(Generator)
    attempts = Attempts(
        environment, model, policy="fork" if step_wise else "main_only", truncated=truncated,
        **options,
    )  # fmt: skip
    return Generator(attempts, step_wise=step_wise)


def rows(
    environment: str | type[Environment], *, split: str = "train", limit: int | None = None,
    config: Any = None, tasks: Any = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """An environment's tasks as rows of SkyRL's data set: `prompt`, `env_class` and the task."""
    env = load(environment)
    table = TaskTable(env, tasks, config=config, split=split, limit=limit)
    return [
        {
            "prompt": msgspec.to_builtins(task.messages()),
            "env_class": env.name,
            TASK: msgspec.json.encode(task).decode(),
        }
        for task in table.tasks.values()
    ]


class Generator:
    """SkyRL's `GeneratorInterface`; `generator` makes it.

    A failure has a row of which nothing is trained, with the mean reward of its group's others, so
    it moves no baseline. What is masked has its reward.
    """

    def __init__(self, attempts: Attempts, *, step_wise: bool = False) -> None:
        self._attempts, self._step_wise = attempts, step_wise

    async def generate(self, input_batch: Mapping[str, Any]) -> dict[str, Any]:
        """A `GeneratorOutput` in the order of the prompts; rows of one instance must be adjacent.

        Raises:
            ConfigError: A row has no task.
            AthlosError: All attempts failed.
        """
        ids = input_batch.get("trajectory_ids")
        metadata = input_batch.get("batch_metadata")
        if metadata is not None:
            self._attempts.resume(metadata.global_step)
        tasks = _tasks(input_batch)
        groups = [
            [place for place, _ in group]
            for _, group in groupby(
                enumerate(ids[place].instance_id if ids else place for place in range(len(tasks))),
                key=lambda pair: pair[1],
            )
        ]
        work = (self._attempts.group(tasks[places[0]], len(places)) for places in groups)
        found = await asyncio.gather(*work)
        rewards = [one for group in neutral_rewards(found) for one in group]
        outcomes = [one for group in found for one in group]
        return self._output(outcomes, rewards, ids)

    async def close(self) -> None:
        """Frees all resources. May be called twice."""
        await self._attempts.close()

    def _output(
        self, outcomes: Many[Outcome], rewards: Many[float], ids: Many[Any] | None
    ) -> dict[str, Any]:
        made: dict[str, list[Any]] = {
            name: []
            for name in (
                "prompt_token_ids", "response_ids", "rewards", "loss_masks", "stop_reasons",
                "rollout_logprobs", "trajectory_ids", "is_last_step", "env_metrics",
            )
        }  # fmt: skip
        for place, (one, reward) in enumerate(zip(outcomes, rewards, strict=True)):
            parts = token_rows(one)
            for number, row in enumerate(parts):
                cut = row.truncated or _status(one) == "truncated"
                made["prompt_token_ids"].append(row.prompt_ids)
                made["response_ids"].append(row.response_ids)
                made["loss_masks"].append(row.loss_mask)
                made["rollout_logprobs"].append(row.logprobs)
                made["rewards"].append(float(reward))
                made["stop_reasons"].append("length" if cut else "stop")
                made["trajectory_ids"].append(ids[place] if ids else None)
                made["is_last_step"].append(number == len(parts) - 1)
                made["env_metrics"].append(_metrics(one))
        statuses = Counter(_status(one) for one in outcomes)
        figures = {
            "athlos/failed": statuses["failed"] / len(outcomes),
            "athlos/truncated": statuses["truncated"] / len(outcomes),
            "athlos/rows_per_rollout": len(made["rewards"]) / len(outcomes),
        }
        return {
            **made,
            "trajectory_ids": made["trajectory_ids"] if ids else None,
            "is_last_step": made["is_last_step"] if self._step_wise else None,
            "rollout_metrics": figures,
            "trajectory_generation_times": [
                one.timing.duration if isinstance(one, Failure) else one.rollout.timing.duration
                for one in outcomes
            ],
            "trajectory_time_splits": None,
            "rollout_expert_indices": None,
            "rollout_sample_support": None,
            "pixel_values": None,
            "image_grid_thw": None,
        }


def _tasks(batch: Mapping[str, Any]) -> list[Task]:
    given = batch.get("sampling_params") or {}
    sampling = {ours: given[theirs] for theirs, ours in _SAMPLING.items() if theirs in given}
    if given.get("top_k", -1) > 0:
        sampling["top_k"] = given["top_k"]
    extras = batch.get("env_extras") or [{}] * len(batch["prompts"])
    found = []
    for place, extra in enumerate(extras):
        if TASK not in extra:
            raise ConfigError(
                f"row {place} of the batch has no {TASK!r}",
                hint="Make the data set with athlos.train.skyrl.rows.",
            )
        found.append(read_task(extra[TASK], sampling))
    return found


def _status(one: Outcome) -> str:
    return "failed" if isinstance(one, Failure) else one.rollout.status


def _metrics(one: Outcome) -> dict[str, Any]:
    if isinstance(one, Failure):
        return {"failed": one.failure_class}
    return {**one.rollout.metrics, **one.rollout.rewards}
