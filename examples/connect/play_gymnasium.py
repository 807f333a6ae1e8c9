"""An episode of Gymnasium by a policy that knows the way. Needs: pip install 'athlos[gymnasium]'"""

import asyncio

import athlos
from athlos.testing import scripted

WAY = ["down", "down", "right", "right", "down", "right"]


async def main():
    model = scripted(*(f"I go {word}. <action>{word}</action>" for word in WAY))
    config = {"options": {"is_slippery": False}, "actions": ["left", "down", "right", "up"]}
    collection = athlos.collect("gymnasium:FrozenLake-v1", model, limit=1, config=config)
    async for rollout in collection:
        print(rollout.messages[0].text)
        print(f"reward {rollout.reward:g}, {rollout.turns} turns")


asyncio.run(main())
