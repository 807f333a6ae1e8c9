"""Environments of verifiers, for the tests of the connector."""

import verifiers as vf
from datasets import Dataset


def rows(count=3):
    return Dataset.from_list(
        [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(1, count + 1)]
    )


def right(completion, answer):
    return float(str(completion[-1].content or "").strip() == answer)


def short(completion):
    return float(len(str(completion[-1].content or "")) < 3)


def broken(completion):
    raise ValueError("no")


def double(number: int) -> int:
    """Doubles a number.

    Args:
        number: Which one.
    """
    return 2 * number


class Correcting(vf.MultiTurnEnv):
    """Says so if the answer is wrong, up to three times."""

    async def env_response(self, messages, state, **kwargs):
        return [{"role": "user", "content": "No. Again."}]

    @vf.stop
    async def is_right(self, state):
        turns = state["trajectory"]
        return bool(turns) and right(turns[-1]["completion"], state["answer"]) == 1.0


def load_environment(kind="single", count=3):
    rubric = vf.Rubric(funcs=[right, short], weights=[1.0, 0.5])
    data = rows(count)
    if kind == "tool":
        return vf.ToolEnv(dataset=data, rubric=rubric, tools=[double], max_turns=4)
    if kind == "multi":
        return Correcting(dataset=data, rubric=rubric, max_turns=3)
    if kind == "broken":
        return vf.SingleTurnEnv(dataset=data, rubric=vf.Rubric(funcs=[broken]))
    return vf.SingleTurnEnv(dataset=data, rubric=rubric, system_prompt="Be brief.")
