import json
import math
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos.errors import AthlosError
from athlos.metrics import FailureStats, Mean, RolloutStats, Summary, Tally
from athlos.runs import FailureEntry, Pairs, RolloutEntry
from athlos.runs.index import enter
from athlos.types import Call, Failure, Message, Rollout, Timing, Usage

Record = RolloutStats | FailureStats

values = st.floats(-1e6, 1e6)


def rollout(task: str, sample: int, reward: float = 0.0, **rest: object) -> RolloutStats:
    return RolloutStats(task, sample, reward=reward, **rest)  # type: ignore[arg-type]


def failure(
    task: str, sample: int, failure_class: str = "model_error", attempt: int = 0
) -> FailureStats:
    return FailureStats(task, sample, attempt, failure_class)


def tally(records: list[Record]) -> Tally:
    filled = Tally()
    tasks: dict[str, int] = {}
    for record in records:
        task = tasks.setdefault(record.task_id, len(tasks))
        if isinstance(record, FailureStats):
            filled.add_failure(task, record)
        else:
            filled.add(task, record)
    return filled


def numbers(value: object) -> object:
    """A summary as plain data, numbers wrapped for an approximate comparison."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers(item) for item in value]
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-9, abs=1e-6)
    return value


@st.composite
def runs(draw: st.DrawFn, reward: st.SearchStrategy[float] = values) -> list[Record]:
    """Records of a run in any order: each sample has a rollout or none, and failed attempts."""
    records: list[Record] = []
    for task in range(draw(st.integers(0, 5))):
        for sample in range(draw(st.integers(0, 5))):
            for attempt in range(draw(st.integers(0, 3))):
                reason = draw(st.sampled_from(["a", "b", "cancelled", "refused"]))
                records.append(failure(f"t{task}", sample, reason, attempt))
            if draw(st.booleans()):
                records.append(
                    RolloutStats(
                        f"t{task}",
                        sample,
                        status=draw(st.sampled_from(["completed", "truncated"])),
                        reward=draw(reward),
                        rewards={"right": draw(values)},
                        metrics=draw(st.dictionaries(st.sampled_from(["x", "y"]), values)),
                    )
                )
    return draw(st.permutations(records))


def rollouts_of(records: list[Record]) -> list[RolloutStats]:
    return [record for record in records if isinstance(record, RolloutStats)]


def test_every_figure_of_a_small_run() -> None:
    found = tally(
        [
            rollout(
                "a",
                0,
                1.0,
                stop_reason="answered",
                rewards={"right": 1.0, "form": 0.5},
                metrics={"words": 10.0},
                turns=1,
                tool_calls=3,
                tool_errors=1,
                usage=Usage(100, 20),
                timing=Timing(duration=2.0),
            ),
            rollout("a", 1, 0.0, stop_reason="answered", rewards={"right": 0.0, "form": 0.5}),
            rollout(
                "b",
                0,
                1.0,
                status="truncated",
                stop_reason="max_turns",
                rewards={"right": 1.0},
                turns=5,
                tool_calls=1,
                usage=Usage(300, 60),
                timing=Timing(duration=4.0),
            ),
            failure("b", 1, "cancelled"),
            failure("b", 1, "timeout", 1),
            failure("b", 1, "model_error", 2),
            failure("a", 0, "timeout"),  # made good by a later attempt
            failure("c", 0, "timeout"),
            failure("c", 0, "refused", 1),
        ]
    ).summary(offered=6, samples=2)

    account = found.accounting
    assert (account.offered, account.scored, account.truncated) == (6, 2, 1)
    assert (account.failed, account.cancelled, account.owed) == (1, 1, 1)
    assert found.failed_attempts == {"timeout": 3, "model_error": 1}
    assert found.cancelled_attempts == {"cancelled": 1, "refused": 1}
    # Sums 1 of 2 and 1 of 1: deviations from the mean 2/3 are -1/3 and 1/3.
    half = 12.7062047 * math.sqrt(2 * 2 / 9) / 3
    assert found.reward.mean == pytest.approx(2 / 3)
    assert found.reward.low == pytest.approx(2 / 3 - half)
    assert found.reward.high == pytest.approx(2 / 3 + half)
    assert (found.reward.n, found.reward.tasks) == (3, 2)
    assert found.rewards["right"] == found.reward
    assert found.rewards["form"] == Mean(0.5, None, None, 2, 1)
    assert found.metrics == {"words": Mean(10.0, None, None, 1, 1)}
    assert [(at.k, at.value, at.tasks) for at in found.pass_at_k] == [(1, 0.75, 2), (2, 1.0, 1)]
    assert [(at.k, at.value, at.tasks) for at in found.pass_hat_k] == [(1, 0.75, 2), (2, 0.0, 1)]
    assert [(at.k, at.value, at.tasks) for at in found.avg_at_k] == [(1, 0.75, 2), (2, 0.5, 1)]
    assert found.truncation_rate == pytest.approx(1 / 3)
    assert found.failure_rate == pytest.approx(4 / 7)
    assert found.tool_error_rate == 0.25
    assert found.turns == 2.0
    assert (found.tokens.prompt, found.tokens.completion) == (400, 80)
    assert found.tokens.completion_per_rollout == 40.0
    assert found.latency.rollouts.p50 == 3.0
    assert (found.latency.rollouts.n, found.latency.calls.n) == (2, 0)
    assert found.stop_reasons == {"answered": 2, "max_turns": 1}


def test_a_run_without_rollouts_knows_no_figure() -> None:
    found = Tally().summary(offered=4, samples=1)
    assert found.accounting.owed == 4
    assert found.reward == Mean(None, None, None, 0, 0)
    assert found.truncation_rate is found.failure_rate is found.tool_error_rate is None
    assert found.turns is found.tokens.prompt is found.latency.calls.p50 is None
    assert [at.value for at in found.pass_at_k] == [None]
    assert Tally().live() == (0, None, None)


@pytest.mark.parametrize(
    ("samples", "ks"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8])]
)
def test_k_doubles_up_to_samples(samples: int, ks: list[int]) -> None:
    found = Tally().summary(offered=0, samples=samples)
    assert [at.k for at in found.pass_at_k] == ks
    assert [at.k for at in found.pass_hat_k] == [at.k for at in found.avg_at_k] == ks


def test_pass_threshold_forgives_rounding_only() -> None:
    assert 0.7 + 0.2 + 0.1 < 1
    filled = tally([rollout("a", 0, 0.7 + 0.2 + 0.1), rollout("b", 0, 0.999)])
    assert filled.summary(offered=2, samples=1).pass_at_k[0].value == 0.5
    strict = filled.summary(offered=2, samples=1, pass_threshold=0.5)
    assert (strict.pass_at_k[0].value, strict.pass_threshold) == (1.0, 0.5)


@pytest.mark.parametrize("late", [False, True])
def test_a_sample_that_succeeded_is_not_failed(late: bool) -> None:
    records: list[Record] = [failure("a", 0), rollout("a", 0, 1.0)]
    found = tally(records[::-1] if late else records).summary(offered=1, samples=1)
    assert (found.accounting.scored, found.accounting.failed) == (1, 0)
    assert found.failed_attempts == {"model_error": 1}


def test_a_second_rollout_of_a_sample_is_refused() -> None:
    filled = tally([rollout("a", 3, 1.0)])
    with pytest.raises(AthlosError, match="task number 0 has two rollouts of sample 3"):
        filled.add(0, rollout("a", 3, 0.0))
    assert filled.live()[:2] == (1, 1.0)
    assert filled.summary(offered=1, samples=1).accounting.scored == 1


def test_more_samples_than_offered_are_refused() -> None:
    filled = tally([rollout("a", 0), failure("a", 1)])
    with pytest.raises(AthlosError, match="1 samples were offered, but 1 have a rollout, 1 failed"):
        filled.summary(offered=1, samples=1)


@given(runs(), st.integers(0, 9))
def test_the_accounting_identity_holds(records: list[Record], owed: int) -> None:
    done = {(record.task_id, record.sample) for record in rollouts_of(records)}
    seen = {(record.task_id, record.sample) for record in records}
    last = {(r.task_id, r.sample): r for r in by_attempt(records) if isinstance(r, FailureStats)}
    given_up = {key for key, r in last.items() if r.failure_class in ("cancelled", "refused")}
    account = tally(records).summary(offered=len(seen) + owed, samples=5).accounting
    assert account.scored + account.truncated == len(done)
    assert account.cancelled == len(given_up - done)
    assert account.failed == len(seen - done - given_up)
    assert account.owed == owed
    parts = msgspec.structs.astuple(account)
    assert account.offered == sum(parts[1:])


def by_attempt(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: getattr(record, "attempt", 0))


BROKEN = [
    (Tally, "_leave", lambda *_: None),  # a rollout that makes a failure good is counted beside it
    (Pairs, "swap", lambda *_: 0),  # nothing is noted
]


@pytest.mark.parametrize(("owner", "name", "rule"), BROKEN)
def test_a_broken_rule_of_counting_is_noticed(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, rule: object
) -> None:
    monkeypatch.setattr(owner, name, rule)
    filled = tally([failure("a", 0), rollout("a", 0, 1.0)])
    with pytest.raises(AthlosError, match="the samples do not add up"):
        filled.summary(offered=2, samples=1)


@given(runs())
def test_streaming_equals_batch(records: list[Record]) -> None:
    rollouts = rollouts_of(records)
    found = tally(records).summary(offered=99, samples=5)
    for name, values in [
        (None, [(r.task_id, r.reward) for r in rollouts]),
        ("x", [(r.task_id, r.metrics["x"]) for r in rollouts if "x" in r.metrics]),
    ]:
        mean = found.reward if name is None else found.metrics.get(name)
        if not values:
            assert mean is None or mean.mean is None
            continue
        assert mean is not None
        by_task: dict[str, list[float]] = {}
        for task, value in values:
            by_task.setdefault(task, []).append(value)
        centre = fmean(value for _, value in values)
        assert mean.mean == pytest.approx(centre, abs=1e-6)
        assert (mean.n, mean.tasks) == (len(values), len(by_task))
        if len(by_task) > 1:
            spread = sum(sum(v - centre for v in group) ** 2 for group in by_task.values())
            error = math.sqrt(spread * len(by_task) / (len(by_task) - 1)) / len(values)
            t = {1: 12.70620, 2: 4.30265, 3: 3.18245, 4: 2.77645}[len(by_task) - 1]
            # t has five decimals here, and the sum may cancel to almost nothing
            slack = 5.1e-6 * error + 1e-9 * (1 + abs(centre))
            assert mean.high == pytest.approx(centre + t * error, abs=slack)


@given(runs(), st.randoms(use_true_random=False))
def test_order_does_not_matter(records: list[Record], random: object) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (
        msgspec.to_builtins(tally(order).summary(offered=99, samples=5))
        for order in (records, shuffled)
    )
    assert one == numbers(other)


@given(runs())
def test_live_agrees_with_the_summary(records: list[Record]) -> None:
    filled = tally(records)
    reward = filled.summary(offered=99, samples=5).reward
    n, mean, half = filled.live()
    assert n == reward.n
    assert mean == (None if reward.mean is None else pytest.approx(reward.mean, abs=1e-6))
    assert (half is None) == (reward.high is None)
    if half is not None:
        assert reward.high is not None
        assert reward.mean is not None
        assert half == pytest.approx(reward.high - reward.mean, rel=1e-5, abs=1)


@given(runs(st.sampled_from([0.0, 0.25, 1.0])))
def test_live_interval_is_exact_for_rewards_of_ordinary_size(records: list[Record]) -> None:
    filled = tally(records)
    reward = filled.summary(offered=99, samples=5).reward
    _, _, half = filled.live()
    if half is not None:
        assert reward.high is not None
        assert reward.mean is not None
        assert half == pytest.approx(reward.high - reward.mean, abs=1e-9)


@given(runs())
def test_failures_never_change_a_mean(records: list[Record]) -> None:
    clean = tally(list(rollouts_of(records))).summary(offered=99, samples=5)
    found = tally(records).summary(offered=99, samples=5)
    same = ("reward", "rewards", "metrics", "pass_at_k", "pass_hat_k", "avg_at_k", "turns")
    for name in same:
        one, other = (msgspec.to_builtins(getattr(s, name)) for s in (found, clean))
        assert one == numbers(other)


@given(runs())
def test_metrics_json_holds_the_summary(records: list[Record]) -> None:
    summary = tally(records).summary(offered=99, samples=5)
    line = msgspec.json.encode(summary)
    assert msgspec.json.decode(line, type=Summary) == summary
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in metrics.json"))


def test_a_stored_line_gives_what_the_live_record_gave() -> None:
    live = Rollout(
        "a.0.0",
        "a",
        0,
        "env",
        "model",
        status="truncated",
        stop_reason="max_turns",
        reward=0.5,
        rewards={"right": 1.0},
        metrics={"words": 3.0},
        messages=[Message("user", "hello")],
        calls=[Call(1, "stop", Usage(5, 7), 1.0, 0.25, token_ids=[1, 2], logprobs=[-0.1, -0.2])],
        turns=2,
        tool_calls=2,
        tool_errors=1,
        usage=Usage(5, 7),
        timing=Timing(duration=1.5),
    )
    failed = Failure("b.0.0", "b", 0, 0, "timeout", "too slow", traceback="...")
    stored = Tally()
    stored.add(0, msgspec.json.decode(msgspec.json.encode(live), type=RolloutStats))
    stored.add_failure(1, msgspec.json.decode(msgspec.json.encode(failed), type=FailureStats))
    indexed = Tally()
    indexed.add(0, msgspec.msgpack.decode(enter(0, live), type=RolloutEntry))
    indexed.add_failure(1, msgspec.msgpack.decode(enter(1, failed), type=FailureEntry))
    direct = Tally()
    direct.add(0, live)
    direct.add_failure(1, failed)
    summary = direct.summary(offered=2, samples=1)
    assert stored.summary(offered=2, samples=1) == summary
    assert indexed.summary(offered=2, samples=1) == summary
    assert summary.latency.calls.p99 == 0.25
    assert summary.latency.rollouts.p99 == 1.5
