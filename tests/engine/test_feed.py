"""Tasks that are asked for while the run goes."""

import asyncio
from contextlib import aclosing

import pytest

from athlos import ConfigError, Environment, Task, collect, reward
from athlos.engine import Feed
from athlos.errors import JudgeError
from athlos.testing import fake_model, simulate


class Flaky(Environment):
    """The first attempt at each sample fails in a way that another may not."""

    tried: dict

    @reward
    def value(self, rollout):
        key = rollout.task_id, rollout.sample
        self.tried[key] = self.tried.get(key, 0) + 1
        if self.tried[key] == 1:
            raise JudgeError("come again")
        return 1.0


def test_workers_wait_for_tasks_and_take_repetitions_up():
    async def main():
        Flaky.tried = {}
        feed = Feed()
        run = collect(Flaky, fake_model(lambda _: "Done."), tasks=feed, samples=3, attempts=2,
                      concurrency=2)  # fmt: skip
        found = []

        async def ask():
            await feed.opened.wait()
            for n in range(4):
                feed.ask(Task(f"task {n}"))
                await asyncio.sleep(100)
            await run.pause()
            feed.ask(Task("the last"))
            await asyncio.sleep(100)
            before = len(found)
            run.resume(1)
            await asyncio.sleep(100)
            feed.close()
            return before

        asking = asyncio.create_task(ask())
        async with aclosing(run.groups()) as groups:
            async for group in groups:
                found.append(group)
        return await asking, found, run.summary().accounting

    before, found, account = simulate(main)
    assert (before, len(found)) == (4, 5)
    assert [len(group.rollouts) for group in found] == [3] * 5
    assert (account.offered, account.scored, account.owed) == (15, 15, 0)


def test_a_feed_is_for_one_collection_and_its_time():
    async def main():
        feed = Feed()
        with pytest.raises(ConfigError, match="has not begun"):
            feed.ask(Task("x"))
        feed.close()
        await collect(Flaky, fake_model(lambda _: "Done."), tasks=feed).run()
        with pytest.raises(ConfigError, match="for one collection"):
            await collect(Flaky, fake_model(lambda _: "Done."), tasks=feed).run()

    assert simulate(main) is None
