"""Plays an environment with scripted answers, for golden cases."""

import asyncio

import athlos
from athlos import Task
from athlos.testing import scripted


def play(env, task, *answers, **config):
    """The one rollout of a task whose assistant messages are given, one a turn."""

    async def main():
        collection = athlos.collect(env, scripted(*answers), tasks=[task], config=config)
        rollouts = [rollout async for rollout in collection]
        assert not collection.failures, collection.failures
        return rollouts[0]

    return asyncio.run(main())


def reward(env, info, *answers, **config):
    """The reward for a task with this `info`."""
    return play(env, Task("?", info), *answers, **config).reward
