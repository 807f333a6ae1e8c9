"""Playing an environment with a fake model, for tests of connectors."""

import asyncio

from athlos import collect


def play(env, model, **options):
    """The rollouts and the failures of a run."""

    async def gather():
        return [rollout async for rollout in collection]

    collection = collect(env, model, **options)
    return asyncio.run(gather()), collection.failures
