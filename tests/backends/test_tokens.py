"""Token truth on a real vLLM: whole tool rollouts, their sequences, and what an audit says."""

import asyncio
import json
from pathlib import Path

import pytest

from athlos import Deadlines, Environment, Message, Model, Task, ToolLoop, collect, reward, tool
from athlos.models.token_modes import Capture, Exact
from athlos.runs.audit import audit
from athlos.sequences import build

TINY = Path(__file__).parent.parent / "data" / "tiny"
ROLLOUTS = 200
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 96}


class Weather(Environment):
    """Three turns: whatever the model does in one, the conversation goes on."""

    @classmethod
    def tasks(cls, config, split):
        for number in range(ROLLOUTS):
            yield Task(f"What is the weather in Rome? Number {number}.", id=str(number))

    @tool
    async def get_weather(self, city: str) -> str:
        """Weather of a city.

        Args:
            city: Its name.
        """
        return f"It is {len(city)} degrees."

    def reply(self, message):
        return "Please call the tool again."

    @reward
    def asked(self, rollout) -> float:
        return rollout.tool_calls - rollout.tool_errors


def run(url, tokens, **options):
    async def go():
        deadlines = Deadlines(total=300, first_byte=300)
        async with Model(f"{url}/v1", "tiny", tokens=tokens, deadlines=deadlines) as model:
            collection = collect(
                Weather, model, concurrency=32, agent=ToolLoop(max_turns=3),
                **{"sampling": SAMPLING, **options},
            )  # fmt: skip
            rollouts = [rollout async for rollout in collection]
            return rollouts, collection.failures

    return asyncio.run(go())


def replay(url, rollouts):
    async def go():
        async with Model(f"{url}/v1", "tiny") as model:
            await model.connect()
            return await audit(rollouts, model)

    return asyncio.run(go())


def finished(rollouts):
    """Those with three turns: a call that is cut off by a limit ends its rollout."""
    return [rollout for rollout in rollouts if rollout.turns == 3]


@pytest.mark.parametrize("engine", ["vllm-generate", "vllm-completions"])
def test_exact_rollouts_are_one_sequence_each_and_the_engine_agrees(vllm_url, engine):
    rollouts, failures = run(vllm_url, Exact(str(TINY), engine=engine))
    assert not failures
    assert len(rollouts) == ROLLOUTS
    assert sum(rollout.tool_calls for rollout in rollouts) > ROLLOUTS
    assert len(finished(rollouts)) > 0.9 * ROLLOUTS
    for rollout in rollouts:
        assert len(rollout.sequences(policy="strict")) == 1
    found = replay(vllm_url, rollouts)
    assert found.passed, found.faults[:1]
    assert (found.sequences, found.breaks, found.ids_equal) == (ROLLOUTS, 0, True)
    assert found.worst <= 1e-3
    assert len(found.calls) == sum(len(rollout.calls) for rollout in rollouts)


def test_captured_rollouts_report_their_forks(vllm_url):
    rollouts, failures = run(vllm_url, Capture())
    assert not failures
    broken = 0
    for rollout in rollouts:
        built = build(rollout)
        whole = [
            after.prompt_token_ids[: len(before.prompt_token_ids) + len(before.token_ids)]
            == before.prompt_token_ids + before.token_ids
            for before, after in zip(rollout.calls, rollout.calls[1:], strict=False)
        ]
        assert built.forked == whole.count(False)
        broken += built.forked
    assert broken > 0  # the template drops reasoning
    found = replay(vllm_url, rollouts)
    assert found.passed, found.faults[:1]
    assert found.breaks == broken
    assert found.worst <= 1e-3


async def post(model, path, body=None):
    response = await model.probe(path, json.dumps(body or {}).encode())
    assert response.status == 200, response.body


@pytest.mark.parametrize("mode", ["exact", "capture"])
def test_a_weight_update_in_the_middle_of_a_call_is_two_spans(vllm_url, mode):
    """Only the endpoint that takes ids says which weights sampled which tokens."""
    tokens = Exact(str(TINY), engine="vllm-generate") if mode == "exact" else Capture()

    async def go():
        async with Model(f"{vllm_url}/v1", "tiny", tokens=tokens) as model:
            sampling = {"temperature": 1.0, "max_tokens": 1200, "min_tokens": 1200}
            await model.connect(sampling)
            call = asyncio.create_task(
                model.chat([Message("user", "Say something.")], sampling=sampling)
            )
            await asyncio.sleep(1.0)
            await post(model, "//pause?mode=keep")
            await post(model, "//update_weight_version", {"new_version": "7"})
            await post(model, "//resume")
            reply = await call
            await post(model, "//update_weight_version", {"new_version": "default"})
            return reply.call(1, 0.0)

    call = asyncio.run(go())
    if mode == "capture":
        assert call.versions == []
        return
    assert [span.version for span in call.versions] == ["default", "7"]
    assert call.versions[0].start == 0
    assert call.versions[0].end == call.versions[1].start
    assert call.versions[1].end == len(call.token_ids)
