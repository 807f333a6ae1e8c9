"""An environment of verifiers, played by a script. Needs: pip install 'athlos[verifiers]'

An installed environment has a name; here this file is one, so that nothing else is needed.
"""

import asyncio
import sys
from pathlib import Path

import verifiers
from datasets import Dataset

import athlos
from athlos.testing import fake_model


def load_environment(count: int = 5):
    rows = [{"question": f"{n} + {n} = ?", "answer": str(2 * n)} for n in range(count)]

    def right(completion, answer):
        return float(completion[-1].content == answer)

    rubric = verifiers.Rubric(funcs=[right])
    return verifiers.SingleTurnEnv(dataset=Dataset.from_list(rows), rubric=rubric)


async def main():
    sys.path.append(str(Path(__file__).parent))
    model = fake_model(lambda messages: str(2 * int(messages[0].text.split()[0])))
    summary = await athlos.collect("verifiers:play_verifiers", model).run()
    print(f"mean reward {summary.reward.mean:.2f} of {summary.accounting.scored} rows")


if __name__ == "__main__":
    asyncio.run(main())
