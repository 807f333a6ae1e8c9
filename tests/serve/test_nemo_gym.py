"""A client that knows only the protocol earns the rewards of `athlos run`."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.helpers import serving
from tests.serve.nemo_gym_client import (
    Client,
    Refused,
    call,
    gymnasium_agent,
    say,
    simple_agent,
    verify_only,
)

import athlos
from athlos import Message, ToolCall
from athlos.registry import load
from athlos.rows import row_to_task
from athlos.serve.rows import task_to_row
from athlos.testing import scripted
from athlos.types import FunctionCall


def tools(*calls):
    """An assistant message with these calls: pairs of a name and arguments."""
    texts = [(name, a if isinstance(a, str) else json.dumps(a)) for name, a in calls]
    made = [ToolCall(f"call_{n}", FunctionCall(*pair)) for n, pair in enumerate(texts)]
    return Message("assistant", tool_calls=made)


def outputs(answers):
    """Answers as the output items of a model."""
    made = []
    for answer in answers:
        if isinstance(answer, str):
            made.append(say(answer))
        else:
            made.append(call(*((c.function.name, c.function.arguments) for c in answer.tool_calls)))
    return made


def tasks(name, count):
    env = load(name)
    found = []
    for task in env.tasks(env.make_config({}), "test"):
        found.append(task)
        if len(found) == count:
            return found


async def run(name, task, answers):
    """The rollout of `athlos run` on these model outputs."""
    collection = athlos.collect(name, scripted(*answers), tasks=[task])
    rollouts = [rollout async for rollout in collection]
    assert not collection.failures, collection.failures
    return rollouts[0]


def counter_scripts(task):
    target = task.info["target"]
    yield [tools(("add", {"amount": target})), "done"]
    yield [tools(("add", {"amount": 1})), tools(("add", {"amount": target - 1})), "done"]
    yield [tools(("add", {"amount": 1}), ("add", {"amount": target - 1})), "done"]
    yield [tools(("add", {"amount": target + 1})), "done"]
    yield [tools(("add", {"amount": "many"})), tools(("add", {"amount": target})), "done"]
    yield [tools(("add", "{not json")), tools(("add", {"amount": target})), "done"]
    yield [tools(("subtract", {"amount": target})), "done"]
    yield [tools(("add", "[]"), ("add", {}), ("add", {"amount": target, "by": 1})), "done"]
    yield ["done at once"]


def boxed_scripts(task):
    right = task.info["expected_answer"]
    yield [f"It is \\boxed{{{right}}}"]
    yield ["It is \\boxed{-17}"]
    yield ["I do not know."]
    yield [""]


def string_scripts(task):
    right = task.info["expected_answer"]
    yield [f"Thinking.\nFinal answer: {right}"]
    yield ["Final answer: a cat"]
    yield [str(right)]


SCRIPTS = {
    "counter": counter_scripts,
    "math": boxed_scripts,
    "mcqa": boxed_scripts,
    "string_match": string_scripts,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_seed_tools_and_verify_earn_the_rewards_of_a_run(name):
    async def main():
        async with serving(name) as server:
            for task in tasks(name, 3):
                row = task_to_row(task, load(name))
                for answers in SCRIPTS[name](task):
                    client = Client(server.url, server.token)
                    turns = outputs(answers)
                    verified = await asyncio.to_thread(simple_agent, client, row, turns)
                    client.close()
                    expected = await run(name, task, answers)
                    seen.append((verified["reward"], expected.reward))
                    assert verified["reward_components"] == expected.rewards
                    assert {k: verified[k] for k in expected.metrics} == expected.metrics
                    assert verified["stop_reason"] == expected.stop_reason
                    assert verified["responses_create_params"] == row["responses_create_params"]
            left.append(len(server.sessions))

    seen, left = [], []
    asyncio.run(main())
    assert [ours for ours, _ in seen] == [theirs for _, theirs in seen]
    assert {theirs for _, theirs in seen} >= {0.0, 1.0}
    assert left == [0]


@pytest.mark.parametrize("name", SCRIPTS)
def test_verify_alone_earns_the_rewards_of_a_run(name):
    async def main():
        async with serving(name) as server:
            client = Client(server.url, server.token)
            for task in tasks(name, 3):
                row = task_to_row(task, load(name))
                for answers in SCRIPTS[name](task):
                    output = [item for turn in outputs(answers) for item in turn]
                    verified = await asyncio.to_thread(verify_only, client, row, output)
                    expected = await run(name, task, answers)
                    seen.append((verified["reward"], expected.reward))
            client.close()

    seen = []
    asyncio.run(main())
    assert [ours for ours, _ in seen] == [theirs for _, theirs in seen]
    assert len(seen) >= 9


HANDS = [
    ["<action>stand</action>"],
    ["<action>hit</action>", "<action>stand</action>"],
    ["<action>hit</action>"] * 12,
    ["I cannot decide."],
    [""],
]


def test_blackjack_turn_by_turn_earns_the_rewards_of_a_run():
    async def main():
        async with serving("blackjack") as server:
            for task in tasks("blackjack", 8):
                row = task_to_row(task, load("blackjack"))
                for answers in HANDS:
                    client = Client(server.url, server.token)
                    turns = outputs(answers)
                    total, replies = await asyncio.to_thread(gymnasium_agent, client, row, turns)
                    client.close()
                    expected = await run("blackjack", task, answers)
                    assert replies[0]["observation"].startswith("Your hand:")
                    assert replies[-1]["terminated"] and not replies[-1]["truncated"]
                    assert replies[-1]["info"]["metrics"] == expected.metrics
                    said = [m.text for m in expected.messages[2:] if m.role == "user"]
                    assert [r["observation"] for r in replies[1:-1]] == said
                    seen.append((total, expected.reward))
            left.append(len(server.sessions))

    seen, left = [], []
    asyncio.run(main())
    assert [ours for ours, _ in seen] == [theirs for _, theirs in seen]
    assert {theirs for _, theirs in seen} == {-1.0, 0.0, 1.0} or len(set(seen)) > 1
    assert left == [0]


def test_a_game_of_one_turn_is_scored_in_its_session():
    async def main():
        async with serving("blackjack") as server:
            for task in tasks("blackjack", 8):
                row = task_to_row(task, load("blackjack"))
                client = Client(server.url, server.token)
                turns = outputs(HANDS[0])
                verified = await asyncio.to_thread(simple_agent, client, row, turns)
                client.close()
                expected = await run("blackjack", task, HANDS[0])
                seen.append((verified["reward"], expected.reward))
                assert verified["stop_reason"] == expected.stop_reason

    seen = []
    asyncio.run(main())
    assert [ours for ours, _ in seen] == [theirs for _, theirs in seen]


def test_blackjack_is_scored_from_its_trajectory_alone():
    async def main():
        async with serving("blackjack") as server:
            client = Client(server.url, server.token)
            for task in tasks("blackjack", 8):
                row = task_to_row(task, load("blackjack"))
                expected = await run("blackjack", task, HANDS[1])
                output = []
                for message in expected.messages[2:]:
                    if message.role == "assistant":
                        output += say(message.text)
                    else:
                        output.append({"type": "message", "role": "user", "content": message.text})
                verified = await asyncio.to_thread(verify_only, client, row, output)
                seen.append((verified["reward"], expected.reward))
            client.close()

    seen = []
    asyncio.run(main())
    assert [ours for ours, _ in seen] == [theirs for _, theirs in seen]


def test_tools_run_within_a_step():
    async def main():
        async with serving("counter") as server:
            task = tasks("counter", 5)[-1]
            row = task_to_row(task, load("counter"))
            client = Client(server.url, server.token)
            answers = [tools(("add", {"amount": 2}), ("add", {"amount": 3})), "done"]
            found = await asyncio.to_thread(gymnasium_agent, client, row, outputs(answers))
            client.close()
            return found, await run("counter", task, answers)

    (total, [_, step, last]), expected = asyncio.run(main())
    assert step["info"]["tool_outputs"] == [
        {"call_id": "call_0", "output": "2"},
        {"call_id": "call_1", "output": "5"},
    ]
    assert step["observation"] is None
    assert last["info"]["stop_reason"] == "answered"
    assert total == expected.reward == 1.0


def test_a_tool_that_answers_otherwise_than_said_is_not_scored_without_its_session():
    async def main():
        async with serving("counter") as server:
            row = task_to_row(tasks("counter", 1)[0], load("counter"))
            said = {"type": "function_call_output", "call_id": "call_0", "output": "17"}
            output = [*call(("add", '{"amount": 1}')), said, *say("done")]
            client = Client(server.url, server.token)
            with pytest.raises(Refused) as refused:
                await asyncio.to_thread(verify_only, client, row, output)
            client.close()
            return refused.value

    refused = asyncio.run(main())
    assert refused.status == 409
    assert json.loads(refused.body)["error"]["code"] == "not_reproduced"


ARGUMENTS = st.one_of(
    st.integers(-3, 5).map(lambda n: {"amount": n}),
    st.sampled_from(["{", "null", "7", '{"amount": 1.5}', '{"amount": 1, "x": 2}', "{}"]),
)
TURNS = st.lists(
    st.lists(st.tuples(st.sampled_from(["add", "sub", "verify"]), ARGUMENTS), max_size=3),
    max_size=4,
)


@settings(max_examples=25)
@given(turns=TURNS, target=st.integers(1, 6))
def test_whatever_a_model_calls_the_reward_is_that_of_a_run(turns, target):
    async def main():
        task = athlos.Task("Count.", {"target": target}, id=f"t{target}")
        answers = [tools(*calls) if calls else "hm" for calls in turns] + ["done"]
        first = next(n for n, answer in enumerate(answers) if isinstance(answer, str))
        answers = answers[: first + 1]
        expected = await run("counter", task, answers)
        async with serving("counter") as server:
            row = task_to_row(task, load("counter"))
            client = Client(server.url, server.token)
            output = [item for turn in outputs(answers) for item in turn]
            alone = await asyncio.to_thread(verify_only, client, row, output)
            client.close()
            return alone, expected

    alone, expected = asyncio.run(main())
    assert alone["reward"] == expected.reward
    assert alone["calls"] == expected.metrics["calls"]


def test_several_environments_each_have_their_path():
    async def main():
        async with serving("counter", "mcqa") as server:
            rewards = []
            for name in ("counter", "mcqa"):
                task = tasks(name, 1)[0]
                row = task_to_row(task, load(name))
                turns = outputs(next(SCRIPTS[name](task)))
                client = Client(server.url, server.token, f"/{name}")
                rewards.append(
                    (await asyncio.to_thread(simple_agent, client, row, turns))["reward"]
                )
                client.close()
            return rewards

    assert asyncio.run(main()) == [1.0, 1.0]


def test_the_rollout_prefix_changes_nothing():
    async def main():
        async with serving("counter") as server:
            task = tasks("counter", 1)[0]
            row = task_to_row(task, load("counter"))
            client = Client(server.url, server.token, "/ng-rollout/7-0")
            turns = outputs(next(counter_scripts(task)))
            found = await asyncio.to_thread(simple_agent, client, row, turns)
            client.close()
            return found

    assert asyncio.run(main())["reward"] == 1.0


def test_a_session_may_begin_with_nothing_and_learn_its_row_from_verify():
    async def main():
        async with serving("counter") as server:
            row = task_to_row(tasks("counter", 1)[0], load("counter"))
            client = Client(server.url, server.token)

            def play():
                client.post("/seed_session", {})
                client.request("POST", "/add", {"amount": row["verifier_metadata"]["target"]})
                return client.post("/verify", {**row, "response": {"output": say("done")}})

            found = await asyncio.to_thread(play)
            client.close()
            return found

    assert asyncio.run(main())["reward"] == 1.0


@pytest.mark.parametrize(("tools", "status"), [([], 404), (None, 200)])
def test_an_empty_list_of_tools_offers_none(tools, status):
    async def main():
        async with serving("counter") as server:
            client = Client(server.url, server.token)

            def play():
                params = {"input": "Count.", "tools": tools}
                metadata = {"target": 1}
                client.post(
                    "/seed_session",
                    {"responses_create_params": params, "verifier_metadata": metadata},
                )
                return client.request("POST", "/add", {"amount": 1})[0]

            found = await asyncio.to_thread(play)
            client.close()
            return found

    assert asyncio.run(main()) == status


def test_a_task_without_tools_keeps_having_none_on_its_way_through_a_row():
    env = load("counter")
    for offered in ([], ["add"]):
        row = task_to_row(athlos.Task("Count.", {"target": 1}, tools=offered), env)
        assert row_to_task(row).tools == offered
