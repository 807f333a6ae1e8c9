"""Groups for a trainer in simulated time: oversampled, cancelled, dropped, stale, begun again."""

import asyncio
import random
from collections import Counter

import pytest
from tests.simulation.checker import check_attempts, check_rewards
from tests.simulation.scenario import reproducible
from tests.simulation.world import World, faults

from athlos import GroupPolicy, collect
from athlos.testing import simulate


class Training:
    """A trainer that takes groups, and at times updates the weights in between."""

    def __init__(self, seed):
        rng = self.rng = random.Random(seed)
        self.samples = rng.choice((2, 4, 8))
        self.policy = GroupPolicy(
            oversample=rng.choice((0, 1, 4)),
            partial=rng.choice(("keep", "drop")),
            drop_uniform=rng.random() < 0.5,
            max_staleness=rng.choice((None, 0, 1)),
            epochs=rng.choice((1, 2)),
        )
        self.tries = rng.choice((1, 2))
        self.concurrency = rng.choice((4, 32, 128))
        self.tasks = 240 // self.samples
        width = self.samples + self.policy.oversample
        self.world = World(
            seed, tasks=self.tasks, samples=width * 60, groups=rng.random() < 0.4, trouble=0.2
        )
        self.faults = [faults(rng)]
        self.groups = []

    async def run(self):
        options = {**self.world.options(), "samples": self.samples}
        collection = collect(
            self.world.env, self.world.model(self.faults), concurrency=self.concurrency,
            attempts=self.tries, groups=self.policy, **options,
        )  # fmt: skip
        version = 0
        collection.resume(version)
        async for group in collection.groups():
            staleness = self.policy.max_staleness
            if staleness is not None:
                assert version - group.version <= staleness, "a group is too old"
            self.groups.append(group)
            if self.rng.random() < 0.1:
                await collection.pause(cancel=self.rng.random() < 0.5)
                await asyncio.sleep(self.rng.uniform(0, 300))
                version += 1
                collection.resume(version)
        return collection


@pytest.mark.parametrize("seed", range(20))
def test_a_group_is_made_of_what_was_scored(seed):
    training = Training(seed)
    policy, world = training.policy, training.world
    with reproducible(seed):
        collection = simulate(training.run, seed=seed)
        width = training.samples + policy.oversample
        rollouts = [rollout for group in training.groups for rollout in group.rollouts]
        check_attempts(world, training.concurrency)
        check_rewards(world, rollouts)
        ids = Counter(rollout.id for rollout in rollouts)
        assert max(ids.values(), default=0) <= 1, "a rollout is in two groups"
        for group in training.groups:
            samples = [rollout.sample for rollout in group.rollouts]
            assert 1 <= len(samples) <= training.samples
            assert samples == sorted(samples)
            assert len({sample // width for sample in samples}) == 1, "two groups are mixed"
            assert {rollout.task_id for rollout in group.rollouts} == {group.task.id}
            assert policy.partial == "keep" or len(samples) == training.samples
            assert not policy.drop_uniform or len({r.reward for r in group.rollouts}) > 1
            if world.groups:
                values = [rollout.rewards["value"] for rollout in group.rollouts]
                mean = sum(values) / len(values)
                for rollout, value in zip(group.rollouts, values, strict=True):
                    assert rollout.rewards["relative"] == pytest.approx(value - mean)
        stale = collection.dropped.get("stale", 0)
        if policy.epochs is not None:
            ended = len(training.groups) + sum(collection.dropped.values())
            assert ended >= training.tasks * policy.epochs
            if not stale:
                assert ended == training.tasks * policy.epochs
        account = collection.summary().accounting
        assert account.offered == (
            account.scored + account.truncated + account.failed + account.cancelled + account.owed
        )
        assert account.scored + account.truncated >= len(rollouts)
