"""The figures of a run, the content of `metrics.json`; and what of a record they are made of."""

from __future__ import annotations

from msgspec import Struct, field

from athlos.metrics.estimators import AtK, Mean
from athlos.types import Timing, Usage

__all__ = [
    "Accounting",
    "CallStats",
    "FailureStats",
    "Latency",
    "Percentiles",
    "RolloutStats",
    "Summary",
    "Tokens",
]


class CallStats(Struct):
    """What a summary needs of a call."""

    latency: float = 0.0


class RolloutStats(Struct):
    """What a summary needs of a line of `rollouts.jsonl`; decoding skips the rest of the line."""

    task_id: str
    sample: int
    status: str = "completed"
    stop_reason: str = ""
    reward: float = 0.0
    rewards: dict[str, float] = {}
    metrics: dict[str, float] = {}
    calls: list[CallStats] = []
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)


class FailureStats(Struct):
    """What a summary needs of a line of `failures.jsonl`."""

    task_id: str
    sample: int
    attempt: int
    failure_class: str


class Accounting(Struct, frozen=True):
    """Where every sample went: offered = scored + truncated + failed + cancelled + owed.

    Attributes:
        offered: Tasks times samples.
        scored: Samples with a rollout that ended by itself.
        truncated: Samples with a rollout that a limit ended.
        failed: Samples without a rollout whose last attempt failed.
        cancelled: Samples without a rollout whose last attempt was given up, or refused by a
            ceiling.
        owed: Samples that were never attempted to an end.
    """

    offered: int
    scored: int
    truncated: int
    failed: int
    cancelled: int
    owed: int


class Tokens(Struct, frozen=True):
    """Tokens of the rollouts as the backend counted them; None if it did not.

    Attributes:
        prompt: Over all calls; a prefix counts again in each call.
        completion: Over all calls.
        completion_per_rollout: Mean over the rollouts whose tokens are known.
    """

    prompt: int | None
    completion: int | None
    completion_per_rollout: float | None


class Percentiles(Struct, frozen=True):
    """Seconds; None if nothing was timed. `n` values entered."""

    p50: float | None
    p90: float | None
    p99: float | None
    n: int


class Latency(Struct, frozen=True):
    """Wall-clock of whole rollouts and of single calls to the model, waits included."""

    rollouts: Percentiles
    calls: Percentiles


class Summary(Struct, frozen=True):
    """Every figure of the closing table: the content of `metrics.json`.

    Attributes:
        accounting: Where every sample went.
        failed_attempts: Attempts that failed, by failure class, also those that a later attempt
            made good; most frequent first.
        cancelled_attempts: Attempts that were given up (`cancelled`, `refused`) likewise; they
            enter no rate.
        samples: Rollouts that were asked for per task.
        pass_threshold: A rollout passes if its reward is at least this.
        reward: Mean reward of the rollouts.
        rewards: The same for each reward component, unweighted.
        metrics: The same for each metric; `n` says how many rollouts have it.
        pass_at_k: At least one of k passes; k = 1, 2, 4, ... and `samples`.
        pass_hat_k: All of k pass (pass^k).
        avg_at_k: Mean reward over the tasks with at least k rollouts.
        truncation_rate: Share of the rollouts that a limit ended.
        failure_rate: Share of all attempts that failed.
        tool_error_rate: Share of the tool calls that ended in an error.
        turns: Mean per rollout.
        tokens: What the rollouts consumed.
        latency: How long they and their calls took.
        stop_reasons: Rollouts by stop reason, most frequent first.
    """

    accounting: Accounting
    failed_attempts: dict[str, int]
    cancelled_attempts: dict[str, int]
    samples: int
    pass_threshold: float
    reward: Mean
    rewards: dict[str, Mean]
    metrics: dict[str, Mean]
    pass_at_k: list[AtK]
    pass_hat_k: list[AtK]
    avg_at_k: list[AtK]
    truncation_rate: float | None
    failure_rate: float | None
    tool_error_rate: float | None
    turns: float | None
    tokens: Tokens
    latency: Latency
    stop_reasons: dict[str, int]
