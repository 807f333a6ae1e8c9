"""A task of Inspect, played by a script. Needs: pip install 'athlos[inspect]'"""

import asyncio

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import match

import athlos
from athlos.testing import fake_model


@task
def sums(highest: int = 5):
    samples = [Sample(input=f"{n} + {n} = ?", target=str(2 * n)) for n in range(highest)]
    return Task(dataset=MemoryDataset(samples), scorer=match(numeric=True))


async def main():
    model = fake_model(lambda messages: str(2 * int(messages[0].text.split()[0])))
    summary = await athlos.collect(f"inspect:{__file__}:sums", model).run()
    print(f"mean reward {summary.reward.mean:.2f} of {summary.accounting.scored} samples")


if __name__ == "__main__":
    asyncio.run(main())
