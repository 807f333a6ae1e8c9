"""A game of TextArena by a policy that halves. Needs: pip install 'athlos[textarena]'"""

import asyncio

import athlos
from athlos.testing import fake_model


def halve(messages):
    low, high, guess = 1, 20, 0
    for message in messages[1:]:
        if message.role == "assistant":
            guess = int(message.text.strip("[]"))
        elif "higher" in message.text:
            low = guess + 1
        elif "lower" in message.text:
            high = guess - 1
    return f"[{(low + high) // 2}]"


async def main():
    summary = await athlos.collect(
        "textarena:GuessTheNumber-v0", fake_model(halve), limit=5, seed=1
    ).run()
    print(f"mean reward {summary.reward.mean:.2f} of {summary.accounting.scored} games")


asyncio.run(main())
