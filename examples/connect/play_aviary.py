"""The smallest environment of aviary, played by a script. Needs: pip install 'athlos[aviary]'"""

import asyncio

import athlos
from athlos.testing import call, scripted


async def main():
    model = scripted(call("print_story", story="Once upon a time there"))
    async for rollout in athlos.collect("aviary:dummy", model, limit=1):
        print(rollout.messages[0].text)
        print(f"reward {rollout.reward:g}")


asyncio.run(main())
