"""Plays an environment with scripted answers, for golden cases."""

import asyncio

import athlos
from athlos import Task
from athlos.testing import fake_model, scripted


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


def play_all(env, cases, **config):
    """The rollouts of many tasks with one answer each, in one collection.

    A case is an `info` or a task, and the answer.
    """
    tasks, answers = [], {}
    for number, (asked, answer) in enumerate(cases):
        task = asked if isinstance(asked, Task) else Task("?", asked)
        prompt = f"case {number}"
        tasks.append(Task(prompt, task.info, id=prompt))
        answers[prompt] = answer

    async def main():
        model = fake_model(lambda messages: answers[messages[0].text])
        collection = athlos.collect(env, model, tasks=tasks, config=config)
        found = {rollout.task_id: rollout async for rollout in collection}
        assert not collection.failures, collection.failures
        return [found[task.id] for task in tasks]

    return asyncio.run(main())
