"""Group control for training: over-sampling, dropped groups, refill, pauses, staleness."""

import asyncio

import pytest

from athlos import (
    ConfigError,
    Curriculum,
    Environment,
    GroupPolicy,
    Task,
    collect,
    group_reward,
    read_failures,
    read_rollouts,
    reward,
)
from athlos.metrics.run import summarize_run
from athlos.testing import fake_model, simulate


class Timed(Environment):
    """A sample takes as long as its task's `info` says; its reward is there, too."""

    @classmethod
    def tasks(cls, config, split):
        for index in range(6):
            yield Task(f"task {index}", {"index": index}, id=f"t{index}")

    async def setup(self):
        await asyncio.sleep(self.seconds())

    def seconds(self):
        return 1.0

    @reward
    def value(self, rollout):
        return self.worth(rollout.sample)

    def worth(self, sample):
        return sample % 2


class Stragglers(Timed):
    """Two of six attempts take an hour."""

    begun = 0

    def seconds(self):
        type(self).begun += 1
        return 3000.0 if self.begun % 3 == 0 else 1.0


def gather(env, *, samples=4, policy=None, most=None, during=None, latency=0.0, **options):
    """Collects groups in virtual time; returns the collection, the groups and the time it took."""

    async def main():
        model = fake_model(lambda messages: "Done.", latency=latency)
        collection = collect(env, model, samples=samples, groups=policy, **options)
        groups = []
        helper = asyncio.create_task(during(collection)) if during else None
        stream = collection.groups()
        async for group in stream:
            groups.append(group)
            if most is not None and len(groups) == most:
                break
        await stream.aclose()
        if helper is not None:
            await helper
        return collection, groups, asyncio.get_running_loop().time()

    return simulate(main)


def test_groups_come_whole_and_in_the_order_in_which_they_are_complete():
    collection, groups, _ = gather(Timed)
    assert sorted(group.task.id for group in groups) == [f"t{index}" for index in range(6)]
    assert all([r.sample for r in group.rollouts] == [0, 1, 2, 3] for group in groups)
    assert {r.task_id for r in groups[0].rollouts} == {groups[0].task.id}
    assert collection.summary().accounting.scored == 24


def test_stragglers_of_an_over_sampled_group_are_cut_and_recorded(tmp_path):
    Stragglers.begun = 0
    out = tmp_path / "run"
    policy = GroupPolicy(oversample=2)
    collection, groups, seconds = gather(Stragglers, policy=policy, out=out)
    assert seconds < 3000
    assert [len(group.rollouts) for group in groups] == [4] * 6
    assert all(group.failures == [] for group in groups)
    account = collection.summary().accounting
    assert (account.offered, account.scored, account.cancelled) == (36, 24, 12)
    assert account.failed == account.owed == 0
    assert {f.failure_class for f in read_failures(out)} == {"cancelled"}
    assert len(list(read_rollouts(out))) == 24


def test_attempts_that_never_began_are_cut_too():
    Stragglers.begun = 0
    collection, groups, _ = gather(Stragglers, policy=GroupPolicy(oversample=2), concurrency=1)
    assert len(groups) == 6
    assert collection.summary().accounting.owed == 0


class Fails(Timed):
    def worth(self, sample):
        if self.task.id == "t2" or (self.task.id == "t1" and sample == 0):
            raise ValueError("no verdict")
        return sample % 2


@pytest.mark.parametrize(
    ("partial", "kept"),
    [("keep", {"t0", "t1", "t3", "t4", "t5"}), ("drop", {"t0", "t3", "t4", "t5"})],
)  # fmt: skip
def test_a_partial_group_is_kept_or_dropped_and_one_without_rollouts_never_comes(partial, kept):
    collection, groups, _ = gather(Fails, policy=GroupPolicy(partial=partial))
    assert {group.task.id for group in groups} == kept
    assert collection.dropped == {"partial": 6 - len(kept)}
    for group in groups:
        assert len(group.rollouts) + len(group.failures) == 4
        assert group.rewards == [r.sample % 2 for r in group.rollouts]


class Sure(Timed):
    """Only two tasks have any variance."""

    def worth(self, sample):
        return sample % 2 if self.task.info["index"] in (2, 4) else 1


def test_groups_without_variance_are_dropped_and_refilled():
    collection, groups, _ = gather(
        Sure, policy=GroupPolicy(drop_uniform=True, epochs=None), most=5, concurrency=4
    )
    assert {group.task.id for group in groups} == {"t2", "t4"}
    assert collection.dropped["uniform"] >= 6
    samples = [(r.task_id, r.sample) for group in groups for r in group.rollouts]
    assert len(set(samples)) == 20


def test_each_epoch_has_samples_of_its_own(tmp_path):
    out = tmp_path / "run"
    gather(Timed, policy=GroupPolicy(epochs=2), samples=2, out=out)
    found = sorted((r.task_id, r.sample) for r in read_rollouts(out))
    assert found == [(f"t{index}", sample) for index in range(6) for sample in range(4)]


def test_a_curriculum_takes_what_is_sometimes_solved():
    policy = GroupPolicy(curriculum=Curriculum(), epochs=None, drop_uniform=True)
    _, groups, _ = gather(Sure, policy=policy, most=40, concurrency=4)
    assert {group.task.id for group in groups} == {"t2", "t4"}


def test_a_pause_holds_calls_and_stamps_the_version():
    async def train(collection):
        await asyncio.sleep(1.5)
        collection.resume(version=7)  # sets it without a pause
        await asyncio.sleep(10)
        await collection.pause()
        assert collection.waiting[1] == "paused"
        before = collection.done
        await asyncio.sleep(4000)
        assert collection.done <= before + 8  # those that only had to be scored
        collection.resume(version=8)

    collection, groups, seconds = gather(
        Timed, during=train, latency=5.0, concurrency=8, deadline=60
    )
    assert seconds > 4000
    assert collection.failures == []  # a pause counts against no deadline
    versions = [c.policy_version for g in groups for r in g.rollouts for c in r.calls]
    assert {7, 8} <= set(versions)
    assert len(versions) == 24


def test_a_pause_may_cancel_what_is_under_way_and_loses_nothing():
    async def train(collection):
        for version in range(5):
            await asyncio.sleep(2)
            await collection.pause(cancel=True)
            collection.resume(version=version)

    collection, groups, _ = gather(Timed, during=train, latency=1.5, concurrency=8)
    assert len(groups) == 6
    assert collection.failures == []
    assert all(c.tries == 1 for g in groups for r in g.rollouts for c in r.calls)


@pytest.mark.parametrize("compares", [False, True])
def test_groups_that_fell_behind_are_given_up_and_begun_again(tmp_path, compares):
    class Slow(Timed):
        def seconds(self):
            return 50.0 if self.task.id == "t0" else 1.0

        if compares:

            @group_reward
            def size(self, rollouts):
                return [len(rollouts)] * len(rollouts)

    async def train(collection):
        for version in range(1, 6):
            await asyncio.sleep(10)
            collection.resume(version=version)

    policy = GroupPolicy(max_staleness=2)
    out = tmp_path / "run"

    async def trained(collection):
        collection.resume(version=0)
        await train(collection)

    collection, groups, _ = gather(Slow, policy=policy, during=trained, out=out)
    assert collection.dropped["stale"] >= 1
    assert "t0" in {group.task.id for group in groups}
    for group in groups:
        versions = [c.policy_version for r in group.rollouts for c in r.calls]
        assert group.version is None or min(v for v in versions if v is not None) >= group.version
    account = collection.summary().accounting
    assert account.owed == 0
    assert account.cancelled >= 4
    assert account.scored == len(list(read_rollouts(out)))


def test_a_trainer_that_is_slower_than_the_model_holds_it_back():
    async def main():
        collection = collect(
            Timed, fake_model(lambda _: "Done."), samples=2, concurrency=4,
            groups=GroupPolicy(epochs=None),
        )  # fmt: skip
        stream = collection.groups()
        for _ in range(3):
            await anext(stream)
            await asyncio.sleep(1000)
        begun = collection.offered
        await stream.aclose()
        return begun

    assert simulate(main) < 40


def test_breaking_off_records_what_was_under_way(tmp_path):
    out = tmp_path / "run"
    collection, _, _ = gather(
        Timed, most=1, concurrency=4, out=out, policy=GroupPolicy(epochs=None)
    )
    account = collection.summary().accounting
    assert account.scored >= 4
    assert account.offered == account.scored + account.cancelled + account.owed
    assert len(list(read_rollouts(out))) == account.scored


def test_a_resumed_training_run_does_not_repeat_samples(tmp_path):
    out = tmp_path / "run"
    policy = GroupPolicy(epochs=None, oversample=1)
    for _ in range(3):
        gather(Timed, samples=2, policy=policy, most=4, concurrency=6, out=out)
    found = [(r.task_id, r.sample) for r in read_rollouts(out)]
    assert len(found) == len(set(found)) >= 24


@pytest.mark.parametrize(
    "options", [{"oversample": -1}, {"max_staleness": -1}, {"epochs": 0}]
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        GroupPolicy(**options)


def test_a_resumed_run_with_a_curriculum_adds_up(tmp_path):
    out = tmp_path / "run"
    policy = GroupPolicy(epochs=None, curriculum=Curriculum())
    for _ in range(3):
        collection, _, _ = gather(Sure, policy=policy, most=4, concurrency=6, out=out, seed=3)
        account = collection.summary().accounting
        assert account.scored == len(list(read_rollouts(out)))
        assert account.offered == account.scored + account.cancelled + account.owed
    _, summary = summarize_run(out)
    assert summary.accounting.scored == account.scored


def test_another_width_of_groups_is_another_run(tmp_path):
    out = tmp_path / "run"
    gather(Timed, policy=GroupPolicy(oversample=1), out=out)
    with pytest.raises(ConfigError, match="group_width was 5, is now 6"):
        gather(Timed, policy=GroupPolicy(oversample=2), out=out)


def test_a_complete_group_that_went_stale_is_begun_again():
    async def main():
        collection = collect(
            Timed, fake_model(lambda _: "Done."), samples=2, concurrency=4,
            groups=GroupPolicy(epochs=None, max_staleness=0),
        )  # fmt: skip
        collection.resume(version=0)
        seen = []
        stream = collection.groups()
        async for group in stream:
            assert group.version == collection._model.version
            seen.append(group.task.id)
            await asyncio.sleep(1.5)
            collection.resume(version=len(seen))
            if len(seen) == 20:
                break
        await stream.aclose()
        return seen, collection.dropped

    seen, dropped = simulate(main)
    assert set(seen) == {f"t{index}" for index in range(6)}
    assert dropped["stale"] > 0
