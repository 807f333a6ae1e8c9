import asyncio
import re
from pathlib import Path

import pytest
from tests.examples.programs import AGENTS, NEEDS, SUMS, command

import athlos
from athlos.agents import CommandAgent
from athlos.models.token_modes import token_mode
from athlos.testing import call, scripted
from athlos.testing.stub import call_text, stub_server

TINY = Path(__file__).parents[1] / "data" / "tiny"


def adds(view):
    """Calls the tool with the numbers of the question, then says what it answered."""
    question = next(each["content"] for each in view.messages if each["role"] == "user")
    first, second = re.findall(r"\d+", str(question))[:2]
    if not view.rounds:
        return call_text("add", {"a": int(first), "b": int(second)})
    return f"It is {re.findall(r'[0-9]+', str(view.messages[-1]['content']))[-1]}."


def test_every_example_is_run_here():
    programs = {path.stem for path in AGENTS.glob("*.py")} - {"sums"}
    assert programs == set(NEEDS)


def test_the_environment_of_the_examples_is_played_by_the_tool_loop():
    model = scripted(call("add", a=100, b=100), "200")
    summary = asyncio.run(athlos.collect(SUMS, model, limit=2).run())
    assert summary.reward.mean == 0.5


@pytest.mark.parametrize("mode", ["capture", "exact"])
@pytest.mark.parametrize("name", NEEDS)
def test_an_example_has_token_ids_and_rewards(name, mode):
    agent = CommandAgent(command=command(name), time_limit=300.0)
    tokens = token_mode(mode, tokenizer=str(TINY) if mode == "exact" else None)

    async def main():
        with stub_server("vllm", tokenizer=TINY, policy=adds, scale_out=True) as stub:
            async with athlos.Model(stub.url, tokens=tokens) as model:
                collection = athlos.collect(SUMS, model, limit=2, agent=agent, concurrency=2)
                rollouts = [rollout async for rollout in collection]
            return rollouts, collection.failures, stub.counters.errors

    rollouts, failures, errors = asyncio.run(main())
    assert (failures, errors) == ([], [])
    assert [rollout.reward for rollout in rollouts] == [1.0, 1.0]
    for rollout in rollouts:
        assert (rollout.turns, rollout.tool_calls, rollout.tool_errors) == (2, 1, 0)
        assert [message.role for message in rollout.messages][-3:] == [
            "assistant", "tool", "assistant",
        ]  # fmt: skip
        assert rollout.extra["agent"]["stdout"].strip() == rollout.answer
        for made in rollout.calls:
            assert (made.token_mode, made.token_source) == (mode, "engine")
            assert len(made.token_ids) == len(made.logprobs) == made.usage.completion_tokens
            assert len(made.prompt_token_ids) == made.usage.prompt_tokens
        sequences = rollout.sequences()
        assert mode == "capture" or len(sequences) == 1
        trained = sum(sum(sequence.loss_mask) for sequence in sequences)
        assert trained == rollout.usage.completion_tokens
