"""The figures of a run: counted live while it goes, or from its folder afterwards.

`Tally` takes one record at a time and keeps sums; `Tally.summary` makes a `Summary` of them, the
content of `metrics.json`. Failed attempts are counted beside the means and never enter one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from msgspec import Struct, field

from athlos.errors import AthlosError
from athlos.metrics.estimators import (
    AtK,
    Mean,
    avg_at_k,
    clustered_mean,
    half_width,
    pass_at_k_over_tasks,
    pass_hat_k_over_tasks,
    percentiles,
)
from athlos.types import Failure, Rollout, Timing, Usage

__all__ = [
    "Accounting",
    "CallStats",
    "FailureStats",
    "Latency",
    "Percentiles",
    "RolloutStats",
    "Summary",
    "Tally",
    "Tokens",
]

# A weighted sum such as 0.7 + 0.2 + 0.1 falls short of 1 by rounding and still is full marks.
_ROUNDING = 1e-9


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
    failure_class: str


class Accounting(Struct, frozen=True):
    """Where every sample went: offered = completed + truncated + failed + owed.

    Attributes:
        offered: Tasks times samples.
        completed: Samples with a rollout that ended by itself.
        truncated: Samples with a rollout that a limit ended.
        failed: Samples without a rollout, each of whose attempts so far failed.
        owed: Samples that were never attempted to an end.
    """

    offered: int
    completed: int
    truncated: int
    failed: int
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


class _Series:
    """Count and sum of one quantity per task, addressed by the task's number."""

    __slots__ = ("counts", "sums")

    def __init__(self) -> None:
        self.counts = array("q")
        self.sums = array("d")

    def add(self, task: int, value: float) -> None:
        missing = task + 1 - len(self.counts)
        if missing > 0:
            self.counts.extend([0] * missing)
            self.sums.extend([0.0] * missing)
        self.counts[task] += 1
        self.sums[task] += value

    def groups(self) -> Iterator[tuple[int, float]]:
        return zip(self.counts, self.sums, strict=True)


class Tally:
    """Counts records as they come, in any order; a few microseconds and tens of bytes each.

    Needs `task_id`, `sample` and the figures of a record: `Rollout` and `Failure` while a run goes,
    `RolloutStats` and `FailureStats` when reading its folder.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # task_id -> position in everything kept per task
        self._done: list[int] = []  # per task, bit s: sample s has a rollout
        self._failed: list[int] = []  # per task, bit s: an attempt at sample s failed
        self._reward = _Series()
        self._rewards: dict[str, _Series] = {}
        self._metrics: dict[str, _Series] = {}
        self._scores = array("d")  # every reward, and beside it the number of its task
        self._score_tasks = array("q")
        self._rollout_seconds = array("d")
        self._call_seconds = array("d")
        self._failed_attempts: dict[str, int] = {}
        self._stop_reasons: dict[str, int] = {}
        self._truncated = self._turns = self._tool_calls = self._tool_errors = 0
        self._prompt_tokens = self._completion_tokens = self._with_tokens = 0
        # For `live`, with S the sum of (reward - origin) over the n rollouts of a task: sums over
        # tasks. The origin, the first reward, keeps the difference of squares from cancelling.
        self._tasks = 0
        self._origin = self._s = self._ss = self._ns = 0.0
        self._nn = 0

    def add(self, rollout: Rollout | RolloutStats) -> None:
        """Counts a rollout.

        Raises:
            AthlosError: The sample has a rollout already.
        """
        task = self._number(rollout.task_id)
        bit = 1 << rollout.sample
        if self._done[task] & bit:
            raise AthlosError(
                f"task {rollout.task_id!r} has two rollouts of sample {rollout.sample}",
                hint="A task and sample may occur once in rollouts.jsonl.",
            )
        self._done[task] |= bit

        self._add_reward(task, rollout.reward)
        for name, value in rollout.rewards.items():
            _series(self._rewards, name).add(task, value)
        for name, value in rollout.metrics.items():
            _series(self._metrics, name).add(task, value)

        if rollout.status == "truncated":
            self._truncated += 1
        reason = rollout.stop_reason or "unknown"
        self._stop_reasons[reason] = self._stop_reasons.get(reason, 0) + 1
        self._turns += rollout.turns
        self._tool_calls += rollout.tool_calls
        self._tool_errors += rollout.tool_errors
        usage = rollout.usage
        if usage.prompt_tokens or usage.completion_tokens:
            self._with_tokens += 1
            self._prompt_tokens += usage.prompt_tokens
            self._completion_tokens += usage.completion_tokens
        if rollout.timing.duration > 0:
            self._rollout_seconds.append(rollout.timing.duration)
        for call in rollout.calls:
            if call.latency > 0:
                self._call_seconds.append(call.latency)

    def add_failure(self, failure: Failure | FailureStats) -> None:
        """Counts a failed attempt; its sample counts as failed until it has a rollout."""
        self._failed[self._number(failure.task_id)] |= 1 << failure.sample
        name = failure.failure_class
        self._failed_attempts[name] = self._failed_attempts.get(name, 0) + 1

    def live(self) -> tuple[int, float | None, float | None]:
        """Rollouts so far, their mean reward and half the width of its interval; O(1)."""
        n = len(self._scores)
        if not n:
            return 0, None, None
        mean = self._s / n
        spread = max(self._ss - 2 * mean * self._ns + mean * mean * self._nn, 0.0)
        return n, self._origin + mean, half_width(spread, n, self._tasks)

    def summary(self, *, offered: int, samples: int, pass_threshold: float = 1.0) -> Summary:
        """All figures so far; linear in tasks and rollouts.

        Args:
            offered: Tasks times samples of the run.
            samples: Rollouts asked for per task: the largest k of pass@k.
            pass_threshold: A rollout passes if its reward is at least this, up to rounding.

        Raises:
            AthlosError: More samples were counted than offered.
        """
        rollouts = len(self._scores)
        accounting = self._account(offered)
        failed_attempts = sum(self._failed_attempts.values())
        passed = array("q", bytes(8 * len(self._reward.counts)))
        for task, score in zip(self._score_tasks, self._scores, strict=True):
            if score >= pass_threshold - _ROUNDING:
                passed[task] += 1
        passes = list(zip(self._reward.counts, passed, strict=True))
        ks = _ks(samples)
        return Summary(
            accounting=accounting,
            failed_attempts=_by_count(self._failed_attempts),
            samples=samples,
            pass_threshold=pass_threshold,
            reward=clustered_mean(self._reward.groups()),
            rewards={name: clustered_mean(s.groups()) for name, s in self._rewards.items()},
            metrics={name: clustered_mean(s.groups()) for name, s in self._metrics.items()},
            pass_at_k=[pass_at_k_over_tasks(passes, k) for k in ks],
            pass_hat_k=[pass_hat_k_over_tasks(passes, k) for k in ks],
            avg_at_k=[avg_at_k(self._reward.groups(), k) for k in ks],
            truncation_rate=_ratio(self._truncated, rollouts),
            failure_rate=_ratio(failed_attempts, failed_attempts + rollouts),
            tool_error_rate=_ratio(self._tool_errors, self._tool_calls),
            turns=_ratio(self._turns, rollouts),
            tokens=Tokens(
                prompt=self._prompt_tokens if self._with_tokens else None,
                completion=self._completion_tokens if self._with_tokens else None,
                completion_per_rollout=_ratio(self._completion_tokens, self._with_tokens),
            ),
            latency=Latency(_seconds(self._rollout_seconds), _seconds(self._call_seconds)),
            stop_reasons=_by_count(self._stop_reasons),
        )

    def _number(self, task_id: str) -> int:
        number = self._numbers.get(task_id)
        if number is None:
            number = self._numbers[task_id] = len(self._done)
            self._done.append(0)
            self._failed.append(0)
        return number

    def _add_reward(self, task: int, reward: float) -> None:
        if not self._scores:
            self._origin = reward
        self._scores.append(reward)
        self._score_tasks.append(task)
        self._reward.add(task, reward)
        n = self._reward.counts[task] - 1
        value = reward - self._origin
        before = self._reward.sums[task] - reward - n * self._origin
        self._tasks += not n
        self._s += value
        self._ss += value * (2 * before + value)
        self._ns += before + (n + 1) * value
        self._nn += 2 * n + 1

    def _account(self, offered: int) -> Accounting:
        rollouts = len(self._scores)
        failed = sum(
            (failed & ~done).bit_count()
            for failed, done in zip(self._failed, self._done, strict=True)
        )
        owed = offered - rollouts - failed
        if owed < 0:
            raise AthlosError(
                f"{offered} samples were offered, but {rollouts} have a rollout and {failed} failed"
            )
        return Accounting(offered, rollouts - self._truncated, self._truncated, failed, owed)


def _series(table: dict[str, _Series], name: str) -> _Series:
    found = table.get(name)
    if found is None:
        found = table[name] = _Series()
    return found


def _ks(samples: int) -> list[int]:
    """1, 2, 4, ... up to `samples`, and `samples` itself."""
    powers = [1 << i for i in range(samples.bit_length()) if 1 << i < samples]
    return [*powers, samples]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _by_count(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _seconds(values: array[float]) -> Percentiles:
    p50, p90, p99 = percentiles(values, (50, 90, 99))
    return Percentiles(p50, p90, p99, len(values))
