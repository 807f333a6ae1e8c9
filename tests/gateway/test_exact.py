"""A harness that knows nothing of tokens gets exact ones."""

import pytest
from tests.gateway.helpers import QUESTION, TINY, TOOL, run

from athlos.models.token_modes import Exact
from athlos.sequences import build

CHAT = "/chat/completions"


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_conversation_is_one_sequence(stream):
    async def main(setting):
        messages = list(QUESTION)
        for _ in range(3):
            body = {"messages": messages, "tools": [TOOL], "stream": stream, "store": False}
            answer = await setting.post(CHAT, {**body, "max_tokens": 200})
            assert answer.status == 200, answer.body
            if stream:
                parts = [event["choices"][0]["delta"] for event in answer.events]
                said = {**parts[1], "role": "assistant"}
                for call in said.get("tool_calls", ()):
                    del call["index"]
            else:
                said = answer.json["choices"][0]["message"]
            messages.append(said)
            for call in said.get("tool_calls") or ():
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": "sun"})
            if not said.get("tool_calls"):
                messages.append({"role": "user", "content": "And tomorrow?"})
        setting.lease.close()
        return setting.lease.rollout

    found = run(main, mode=Exact(str(TINY)))
    assert {call.token_mode for call in found.calls} == {"exact"}
    assert [call.complete for call in found.calls] == [True] * 3
    built = build(found)
    assert len(built.sequences) == 1
    assert built.dropped == []
    assert found.turns == 3 and found.tool_calls == 4


@pytest.mark.parametrize(("path", "field"), [("/responses", "input"), ("/messages", "messages")])
def test_the_other_apis_are_exact_as_well(path, field):
    async def main(setting):
        body = {field: QUESTION, "max_tokens": 100, "max_output_tokens": 100, "stream": True}
        answer = await setting.post(path, body)
        return answer, setting.lease.rollout.calls[0]

    answer, call = run(main, mode=Exact(str(TINY)))
    assert answer.status == 200
    assert answer.events[-1]["type"] in ("response.completed", "message_stop")
    assert call.token_mode == "exact" and len(call.token_ids) == len(call.logprobs)


def test_what_cannot_be_exact_is_refused():
    async def main(setting):
        body = {"messages": QUESTION, "response_format": {"type": "json_object"}}
        other = {"messages": [{"role": "function", "content": "x"}]}
        return [await setting.post(CHAT, one) for one in (body, other)], setting.lease

    answers, lease = run(main, mode=Exact(str(TINY)))
    assert [answer.status for answer in answers] == [400, 400]
    assert "response_format" in answers[0].json["error"]["message"]
    assert lease.rollout.calls == []
