"""The stream in simulated time, in many interleavings: faults, updates, restarts, single tasks."""

import asyncio
import random

import pytest
from tests.train.runs import Told, model

from athlos import GroupPolicy, Task, collect, read_rollouts
from athlos.testing import Faults, simulate
from athlos.testing.trainer_contract import check_staleness
from athlos.train import Feed, Stream

FAULTS = Faults(reset=0.05, http_503=0.05, garbled=0.02, slow=0.05, delay=20.0)


def open_stream(rng, **options):
    policy = GroupPolicy(
        epochs=rng.choice([2, None]), oversample=rng.choice([0, 1]), max_staleness=1
    )
    policy = options.pop("policy", policy)
    run = collect(
        Told, model(latency=lambda draw: draw.uniform(0.1, 5.0), faults=FAULTS), samples=3,
        concurrency=rng.choice([4, 12]), attempts=2, groups=policy, **options,
    )  # fmt: skip
    return run


@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_too_old_or_comes_twice(seed, tmp_path):
    rng = random.Random(seed)
    policy = GroupPolicy(epochs=3, oversample=rng.choice([0, 1]), max_staleness=1)
    trained, handed_out = [], []
    weights = 0

    async def part(batches):
        nonlocal weights
        run = open_stream(rng, policy=policy, out=tmp_path / "run")
        async with Stream(run, batch=rng.choice([1, 3]), version=weights) as stream:
            for _ in range(batches):
                batch = await stream.next()
                if batch is None:
                    return
                handed_out.extend((group.version, batch.version) for group in batch.groups)
                await asyncio.sleep(rng.uniform(0, 30))
                if rng.random() < 0.2:
                    continue  # this one is not learned from
                stream.ack(batch)
                trained.extend(group.key for group in batch.groups)
                async with stream.update(cancel=rng.random() < 0.5) as weights:
                    await asyncio.sleep(rng.uniform(0, 10))

    for batches in (2, 1, 3, 100):
        simulate(lambda count=batches: part(count), seed=seed)
    check_staleness(handed_out, 1)
    assert len(trained) == len(set(trained)) > 0
    found = [(rollout.task_id, rollout.sample) for rollout in read_rollouts(tmp_path / "run")]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("seed", range(6))
def test_whoever_asks_gets_the_group_of_the_task(seed):
    rng = random.Random(seed)

    async def main():
        asked = []
        async with Stream(open_stream(rng, tasks=Feed(), policy=None), version=0) as stream:

            async def ask(number):
                await asyncio.sleep(rng.uniform(0, 20))
                name = rng.randrange(4)
                group = await stream.attempt(Task(f"ask {name}", {"rewards": [name] * 4}))
                asked.append((name, group))

            async def update():
                for _ in range(4):
                    await asyncio.sleep(rng.uniform(0, 20))
                    async with stream.update(cancel=True):
                        await asyncio.sleep(1)

            await asyncio.gather(*(ask(number) for number in range(12)), update())
        return asked

    asked = simulate(main, seed=seed)
    assert len({group.key for _, group in asked}) == 12
    for name, group in asked:
        assert set(group.rewards) <= {float(name)}
        assert len(group.rollouts) + len(group.failures) == 3
