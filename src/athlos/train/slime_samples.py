"""Outcomes as slime's samples, and rewards as it trains on them (contract of slime 0.3.1)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from collections.abc import Sequence as Many
from math import fsum, nan
from typing import Any

from athlos.errors import AthlosError
from athlos.sequences import AdvantageMode, advantages
from athlos.train.attempts import Outcome, token_rows
from athlos.types import Failure, Rollout

__all__ = ["OURS", "post_process_rewards", "to_samples"]

OURS = "athlos"
"""The field of a sample's metadata, and of slime's arguments, that is Athlos's."""

_NORMALISED = ("grpo", "gspo", "reinforce_plus_plus_baseline")


def to_samples(sample: Any, one: Outcome) -> list[Any]:
    """The sample as slime gets it back, once for each sequence."""
    failed = isinstance(one, Failure)
    status = type(sample).Status
    said: dict[str, Any] = {
        "rollout": one.id,
        "failed": one.failure_class if isinstance(one, Failure) else "",
    }
    if not isinstance(one, Failure):
        said |= {"masked": one.masked, "rewards": one.rollout.rewards}
    made = []
    for row in token_rows(one):
        part = copy.copy(sample)
        part.tokens = row.prompt_ids + row.response_ids
        part.response_length = len(row.response_ids)
        part.loss_mask, part.rollout_log_probs = row.loss_mask, row.logprobs
        part.response = "" if isinstance(one, Failure) else one.rollout.completion
        part.reward = nan if isinstance(one, Failure) else one.reward
        part.rollout_id = sample.index if sample.rollout_id is None else sample.rollout_id
        part.remove_sample = not any(row.loss_mask)
        part.weight_versions = list(row.weights)
        part.metadata = {**sample.metadata, OURS: said}
        part.status = status.FAILED if failed else status.COMPLETED
        if not isinstance(one, Failure) and one.rollout.status == "truncated":
            part.status = status.TRUNCATED
        made.append(part)
    return made


def post_process_rewards(args: Any, samples: Many[Any]) -> tuple[list[float], list[float]]:
    """Rewards as they were, and as slime trains on them: compared within each `group_index`.

    A rollout counts once in its group's mean, however many samples it came to, and a failure not
    at all. What is masked is compared.
    """
    flat = list(_flat(samples))
    rollouts: dict[Any, dict[str, Rollout]] = {}  # by group, then by rollout
    for sample in flat:
        if not _failed(sample):
            name = _rollout_name(sample)
            group = rollouts.setdefault(sample.group_index, {})
            group[name] = Rollout(name, str(sample.group_index), 0, "", "", reward=sample.reward)
    if not rollouts:
        raise AthlosError(f"all {len(flat)} samples of this step failed")
    raw, compared = [], []
    everything = [one.reward for group in rollouts.values() for one in group.values()]
    mode = _mode(args)
    found = {key: advantages(group.values(), mode) for key, group in rollouts.items()}
    for sample in flat:
        group = rollouts.get(sample.group_index, {})
        known = [one.reward for one in group.values()] or everything
        value = fsum(known) / len(known) if _failed(sample) else float(sample.reward)
        raw.append(value)
        if mode == "none":
            compared.append(value)
        else:
            compared.append(found.get(sample.group_index, {}).get(_rollout_name(sample), 0.0))
    return raw, compared


def _mode(args: Any) -> AdvantageMode:
    if args.advantage_estimator not in _NORMALISED or not args.rewards_normalization:
        return "none"
    scaled = args.advantage_estimator != _NORMALISED[2] and args.grpo_std_normalization
    return "grpo" if scaled else "centered"


def _flat(samples: Many[Any]) -> Iterator[Any]:
    for one in samples:
        if isinstance(one, list | tuple):
            yield from _flat(one)
        else:
            yield one


def _failed(sample: Any) -> bool:
    return bool((sample.metadata or {}).get(OURS, {}).get("failed"))


def _rollout_name(sample: Any) -> str:
    return str(sample.index if sample.rollout_id is None else sample.rollout_id)
