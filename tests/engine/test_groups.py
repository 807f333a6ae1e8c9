import asyncio
import json

import pytest

from athlos import ConfigError, Environment, Task, collect, group_reward, read_rollouts, reward
from athlos.testing import scripted


class Grouped(Environment):
    """Every attempt gets its number; the group knows how many it is."""

    seen: list[list[int]]
    fails: set[tuple[str, int]] = set()

    @classmethod
    def tasks(cls, config, split):
        for index in range(3):
            yield Task("x", id=f"t{index}")

    @reward
    def own(self, rollout):
        if (rollout.task_id, rollout.sample) in self.fails:
            raise ValueError("no verdict")
        return 1

    @group_reward
    def size(self, rollouts):
        self.seen.append([rollout.sample for rollout in rollouts])
        return [len(rollouts) for _ in rollouts]


def make(**attributes):
    return type("Grouped", (Grouped,), {"seen": [], **attributes})


def run(env, **options):
    async def gather():
        return [rollout async for rollout in collection]

    collection = collect(env, scripted("Done."), **options)
    return collection, asyncio.run(gather())


def test_a_group_is_compared_once_and_complete():
    env = make()
    collection, rollouts = run(env, samples=4)
    assert env.seen == [[0, 1, 2, 3]] * 3
    assert {r.rewards["size"] for r in rollouts} == {4.0}
    assert {r.reward for r in rollouts} == {5.0}
    assert collection.failures == []


@pytest.mark.parametrize("concurrency", [1, 3, 64])
def test_members_come_in_order_whatever_the_concurrency(concurrency):
    env = make()
    run(env, samples=5, concurrency=concurrency)
    assert env.seen == [[0, 1, 2, 3, 4]] * 3


def test_a_failed_member_is_left_out_of_the_comparison():
    env = make(fails={("t1", 0), ("t1", 2), ("t2", 0), ("t2", 1), ("t2", 2)})
    collection, rollouts = run(env, samples=3)
    assert sorted(env.seen) == [[0, 1, 2], [1]]
    assert sorted((r.task_id, r.sample, r.rewards["size"]) for r in rollouts) == [
        ("t0", 0, 3.0), ("t0", 1, 3.0), ("t0", 2, 3.0), ("t1", 1, 1.0),
    ]  # fmt: skip
    assert len(collection.failures) == 5


@pytest.mark.parametrize(
    "value", [ValueError("x"), SystemExit(1), asyncio.CancelledError(), "wrong"]
)
def test_a_comparison_that_fails_fails_its_own_group_only(value):
    def size(self, rollouts):
        if self.task.id != "t1":
            return [1 for _ in rollouts]
        if isinstance(value, BaseException):
            raise value
        return [1]

    collection, rollouts = run(make(size=group_reward(size)), samples=2)
    assert sorted(r.task_id for r in rollouts) == ["t0", "t0", "t2", "t2"]
    assert {f.task_id for f in collection.failures} == {"t1"}
    assert len(collection.failures) == 2
    assert collection.done == collection.offered == 6


def test_the_group_has_an_instance_of_its_own_with_the_task():
    class E(Grouped):
        seen = []

        def setup(self):
            self.state = 1

        @group_reward
        def size(self, rollouts):
            return [hasattr(self, "state") or self.task.id != rollouts[0].task_id] * len(rollouts)

    _, rollouts = run(E)
    assert {r.rewards["size"] for r in rollouts} == {0.0}


def test_a_resumed_group_is_compared_with_its_stored_members(tmp_path):
    first = make()
    run(first, samples=2, limit=2, out=tmp_path / "a")
    second = make()
    collection, rollouts = run(second, samples=3, limit=2, out=tmp_path / "a")
    assert second.seen == [[0, 1, 2]] * 2
    assert [(r.sample, r.rewards["size"]) for r in rollouts] == [(2, 3.0)] * 2
    assert collection.resumed == 4
    stored = list(read_rollouts(tmp_path / "a"))
    assert sorted((r.task_id, r.sample, r.rewards["size"]) for r in stored) == [
        (task, sample, size)
        for task in ("t0", "t1")
        for sample, size in ((0, 2.0), (1, 2.0), (2, 3.0))
    ]


def test_a_failed_member_is_made_up_for_on_resume(tmp_path):
    run(make(fails={("t0", 1)}), samples=3, limit=1, out=tmp_path / "a")
    env = make()
    collection, rollouts = run(env, samples=3, limit=1, out=tmp_path / "a")
    assert env.seen == [[0, 1, 2]]
    assert [(r.id, r.rewards["size"]) for r in rollouts] == [("t0.1.1", 3.0)]
    assert collection.summary().accounting.scored == 3


def test_an_unfinished_group_stays_owed(tmp_path):
    async def stop_early():
        collection = collect(
            make(), scripted("Done."), samples=4, concurrency=1, out=tmp_path / "a"
        )
        async for rollout in collection:
            if rollout.task_id == "t0":
                collection.stop()
        return collection

    collection = asyncio.run(stop_early())
    stored = [r.task_id for r in read_rollouts(tmp_path / "a")]
    assert len(stored) % 4 == 0
    accounting = collection.summary().accounting
    assert accounting.scored == len(stored)
    assert accounting.owed == 12 - len(stored)
    assert json.loads((tmp_path / "a/metrics.json").read_text())["accounting"]["owed"] > 0


def test_an_environment_with_group_rewards_only_is_one():
    class E(Environment):
        @classmethod
        def tasks(cls, config, split):
            yield Task("x")

        @group_reward(weight=2)
        def g(self, rollouts):
            return [1] * len(rollouts)

    _, rollouts = run(E, samples=2)
    assert [r.reward for r in rollouts] == [2, 2]
    with pytest.raises(ConfigError, match="no reward"):
        run(type("N", (E,), {"g": None}))


def test_a_group_reward_that_makes_the_sum_infinite_fails_its_rollouts_only():
    class Huge(Environment):
        @classmethod
        def tasks(cls, config, split):
            yield from (Task(name, id=name) for name in "ab")

        @group_reward(weight=10.0)
        def relative(self, rollouts):
            return [1e308 if self.task.id == "a" else 1.0 for _ in rollouts]

    collection = collect(Huge, scripted("hi"), samples=2)
    summary = asyncio.run(collection.run())
    assert {f.failure_class for f in collection.failures} == {"verifier_error"}
    assert (summary.accounting.scored, summary.accounting.failed) == (2, 2)
    assert summary.reward.mean == 10.0
