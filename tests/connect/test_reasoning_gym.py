import asyncio
import importlib
import re

import pytest

from athlos import ConfigError, Task, collect, load
from athlos.testing import fake_model, scripted

SETS = ["leg_counting", "basic_arithmetic", "word_sorting", "letter_counting", "simple_equations"]


@pytest.fixture(scope="module")
def connector():
    """The module, imported once: the library takes seconds."""
    pytest.importorskip("reasoning_gym")
    return importlib.import_module("athlos.connect.reasoning_gym")


def tasks_of(env, split="test", **settings):
    return list(env.tasks(env.make_config(settings), split))


def rewards(env, model, **options):
    async def gather():
        return [rollout async for rollout in collection]

    collection = collect(env, model, **options)
    rollouts = asyncio.run(gather())
    assert collection.failures == []
    return rollouts


@pytest.mark.parametrize("name", SETS)
@pytest.mark.usefixtures("connector")
def test_the_librarys_own_answers_get_full_marks_and_others_do_not(name):
    env = load(f"reasoning-gym:{name}")
    settings = {"size": 8}
    gold = {task.prompt: task.info["answer"] for task in tasks_of(env, **settings)}
    assert len(gold) > 1

    def answer(messages):
        return f"I think.\n<answer>{gold[messages[0].text]}</answer>"

    right = rewards(env, fake_model(answer), config=settings)
    assert [r.reward for r in right] == [1.0] * 8
    assert all(r.extra["extracted_answer"] for r in right)
    wrong = rewards(env, scripted("<answer>no idea at all</answer>"), config=settings)
    assert all(r.reward < 1 for r in wrong)


@pytest.mark.usefixtures("connector")
def test_a_class_has_the_name_version_and_settings_of_its_data_set():
    env = load("reasoning-gym:leg_counting")
    assert env.name == "reasoning-gym:leg_counting"
    assert env.version
    assert "leg_counting" in env.__doc__
    config = env.make_config({"max_animals": "4"})
    assert (config.max_animals, config.seed) == (4, None)
    with pytest.raises(ConfigError, match="no setting 'animals'") as raised:
        env.make_config({"animals": 4})
    assert "max_animals" in raised.value.hint


@pytest.mark.usefixtures("connector")
def test_size_seed_and_split_decide_the_tasks():
    env = load("reasoning-gym:word_sorting")
    first = tasks_of(env, size=4)
    assert len(first) == 4
    assert first == tasks_of(env, size=4) == tasks_of(env, size=9)[:4]
    prompts = {task.prompt for task in first}
    assert prompts.isdisjoint(task.prompt for task in tasks_of(env, "train", size=4))
    assert prompts.isdisjoint(task.prompt for task in tasks_of(env, size=4, seed=5))
    assert tasks_of(env, "anything", size=4, seed=5) == tasks_of(env, size=4, seed=5)
    with pytest.raises(ConfigError, match="no split 'dev'"):
        tasks_of(env, "dev", size=4)


@pytest.mark.usefixtures("connector")
def test_settings_that_the_library_refuses_are_a_mistake_of_the_users():
    env = load("reasoning-gym:leg_counting")
    with pytest.raises(ConfigError, match="the library refuses these settings"):
        tasks_of(env, min_animals=9, max_animals=3)


@pytest.mark.usefixtures("connector")
def test_a_task_of_a_file_is_scored_by_its_own_entry():
    env = load("reasoning-gym:simple_equations")
    (task,) = tasks_of(env, size=1, seed=3)
    answer = task.info["answer"]
    by_index = Task(task.prompt, info={"index": 0, "seed": 3})
    by_entry = Task("2 + 2?", info={"answer": "4", "metadata": {}})
    found = rewards(
        env, scripted(f"<answer>{answer}</answer>"), tasks=[by_index], config={"size": 1}
    )
    assert found[0].reward == 1
    found = rewards(env, scripted("<answer>4</answer>"), tasks=[by_entry])
    assert found[0].reward == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("leg_countin", "Did you mean leg_counting"),
        ("zzzzzzzzzzz", "There are: "),
        ("composite", "Did you mean|There are"),
        ("", "There are: "),
    ],
)
@pytest.mark.usefixtures("connector")
def test_an_unknown_data_set_is_answered_with_those_close_to_it(name, hint):
    with pytest.raises(ConfigError, match=f"no data set '{name}'") as raised:
        load(f"reasoning-gym:{name}")
    assert re.search(hint, raised.value.hint)
