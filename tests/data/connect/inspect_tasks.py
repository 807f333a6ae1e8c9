"""Tasks of Inspect, for the tests of the connector."""

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser
from inspect_ai.scorer import (
    Score,
    accuracy,
    choice,
    includes,
    match,
    scorer,
)


@task
def sums(highest: int = 3):
    samples = [
        Sample(input=f"What is {n} + {n}?", target=str(2 * n), id=f"sum-{n}", metadata={"n": n})
        for n in range(1, highest + 1)
    ]
    return Task(dataset=MemoryDataset(samples), scorer=[match(numeric=True), includes()])


@task
def capitals():
    question = [ChatMessageSystem(content="Be brief."), ChatMessageUser(content="Capital of Peru?")]
    sample = Sample(input=question, choices=["Quito", "Lima", "La Paz"], target="B")
    return Task(dataset=MemoryDataset([sample]), scorer=choice())


@scorer(metrics=[accuracy()])
def parts():
    async def score(state, target):
        text = state.output.completion
        value = {"short": len(text) < 5, "right": "C" if target.text in text else "I"}
        return Score(value=value, answer=text, explanation=f"{len(state.messages)} messages")

    return score


@scorer(metrics=[accuracy()])
def broken():
    async def score(state, target):
        return Score(value=float("nan"))

    return score


@task
def scored_in_parts():
    return Task(dataset=MemoryDataset([Sample(input="Say yes.", target="yes")]), scorer=parts())


@task
def scored_by_nothing():
    return Task(dataset=MemoryDataset([Sample(input="?", target="x")]))


@task
def scored_wrongly():
    return Task(dataset=MemoryDataset([Sample(input="?", target="x")]), scorer=broken())
