"""The example agents against a real vLLM: token ids and rewards, whatever a tiny model says."""

import asyncio

import pytest
from tests.examples.programs import NEEDS, SUMS, command

import athlos
from athlos.agents import CommandAgent
from athlos.models.token_modes import Capture


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_has_token_ids_and_rewards(vllm_url, name):
    agent = CommandAgent(command=command(name), time_limit=300.0)
    sampling = {"max_tokens": 16, "temperature": 1.0}

    async def main():
        async with athlos.Model(f"{vllm_url}/v1", tokens=Capture()) as model:
            collection = athlos.collect(
                SUMS, model, limit=2, agent=agent, concurrency=2, sampling=sampling, seed=1
            )
            return [rollout async for rollout in collection], collection.failures

    rollouts, failures = asyncio.run(main())
    assert failures == []
    assert len(rollouts) == 2
    for rollout in rollouts:
        assert rollout.rewards.keys() == {"correct"}
        assert rollout.calls and rollout.messages[-1].role == "assistant"
        for made in rollout.calls:
            assert (made.token_mode, made.token_source) == ("capture", "engine")
            assert len(made.token_ids) == len(made.logprobs) == made.usage.completion_tokens <= 16
        sequences = rollout.sequences()
        trained = sum(sum(sequence.loss_mask) for sequence in sequences)
        assert trained == rollout.usage.completion_tokens
