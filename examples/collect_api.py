"""Collect rollouts from Python.

python examples/collect_api.py                                        the embedded model
python examples/collect_api.py http://127.0.0.1:8000/v1 Qwen/Qwen3-4B     a server's model
"""

import asyncio
import sys

import athlos


async def main() -> None:
    model = athlos.Model(*sys.argv[1:3]) if sys.argv[1:] else athlos.Model.local()
    async with model:
        collection = athlos.collect(
            "blackjack",
            model,
            samples=2,
            limit=4,
            concurrency=4,
            sampling={"max_tokens": 64},
            seed=1,
        )
        async for rollout in collection:
            print(rollout.id, rollout.stop_reason, rollout.reward)
        for failure in collection.failures:
            print(failure.id, failure.failure_class, failure.message)
        reward = collection.summary().reward
        print(f"mean reward {reward.mean} over {reward.n} rollouts of {reward.tasks} tasks")


if __name__ == "__main__":
    asyncio.run(main())
