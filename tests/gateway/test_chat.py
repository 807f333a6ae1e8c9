import asyncio
import json
import re

import msgspec
import pytest
from tests.gateway.helpers import QUESTION, TOOL, Harness, echo, rollout, run

from athlos import ConfigError, Rollout
from athlos.gateway import Gateway
from athlos.gateway.chat import Chat
from athlos.models.token_modes import Capture
from athlos.runs import encode
from athlos.sequences import build
from athlos.testing import fake_model

CHAT = "/chat/completions"
IDS = re.compile(r'_ids": ?\[')


def request(**fields):
    return {"model": "gpt-5", "messages": QUESTION, **fields}


def text_of(events):
    return "".join(
        choice["delta"].get("content") or "" for event in events for choice in event["choices"]
    )


@pytest.mark.parametrize("tokens", [True, False])
def test_a_reply_is_that_of_the_server(tokens):
    async def main(setting):
        answer = await setting.post(CHAT, request(tools=[TOOL]))
        setting.lease.close()
        return answer, setting.lease.rollout

    answer, found = run(main, tokens=tokens)
    assert answer.status == 200
    choice = answer.json["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert len(choice["message"]["tool_calls"]) == 2
    call = found.calls[0]
    assert (call.complete, call.api, call.lineage, call.prompt_messages) == (True, "chat", "", 1)
    assert [message.role for message in found.messages] == ["user", "assistant"]
    assert found.usage.completion_tokens == answer.json["usage"]["completion_tokens"]
    assert (found.turns, found.tool_calls) == (1, 2)


def test_capture_is_not_seen_by_the_harness_and_changes_nothing():
    async def main(setting):
        return await setting.post(CHAT, request(tools=[TOOL], seed=3)), setting.lease.rollout

    captured, found = run(main)
    plain, without = run(main, tokens=False)
    for answer in (captured, plain):
        assert not IDS.search(answer.body.decode())
        assert answer.json["choices"][0]["logprobs"] is None
    said = [answer.json["choices"][0]["message"]["content"] for answer in (captured, plain)]
    assert said[0] == said[1]
    call = found.calls[0]
    assert call.token_mode == "capture" and call.token_source == "engine"
    assert len(call.token_ids) == len(call.logprobs) == call.usage.completion_tokens
    assert len(call.prompt_token_ids) == call.usage.prompt_tokens
    assert without.calls[0].token_ids is None


def test_a_streamed_call_is_recorded_as_one_that_is_not():
    async def main(setting):
        whole = await setting.post(CHAT, request(tools=[TOOL], seed=3))
        streamed = await setting.post(CHAT, request(tools=[TOOL], seed=3, stream=True))
        return whole, streamed, setting.lease.rollout.calls

    _, streamed, (one, other) = run(main)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    assert not IDS.search(streamed.body.decode())
    assert all(event["choices"] for event in streamed.events)  # nobody asked for the usage
    assert one.token_ids == other.token_ids
    assert one.logprobs == other.logprobs
    assert one.prompt_token_ids == other.prompt_token_ids
    assert one.usage == other.usage
    assert other.complete and other.token_source == "engine"


def test_the_usage_is_streamed_if_it_is_asked_for():
    async def main(setting):
        options = {"include_usage": True}
        return await setting.post(CHAT, request(stream=True, stream_options=options))

    answer = run(main)
    assert answer.events[-1]["usage"]["completion_tokens"] > 0


def test_chunks_are_passed_on_as_they_come():
    async def main(setting):
        setting.stub.faults.token_delay = 0.02
        body = request(stream=True, messages=[{"role": "user", "content": "one two three four"}])
        pieces = []
        async with setting.harness.stream(setting.lease, CHAT, body) as chunks:
            async for chunk in chunks:
                pieces.append((bytes(chunk), setting.stub.counters.in_flight))
        return pieces

    pieces = run(main, stub={"policy": echo})
    assert sum(in_flight for _, in_flight in pieces[:-2]) > 3, "passed on while the server samples"


def test_log_probabilities_that_were_asked_for_come():
    async def main(setting):
        asked = request(logprobs=True, top_logprobs=2)
        return await setting.post(CHAT, asked), setting.sent[-1]

    answer, sent = run(main)
    entries = answer.json["choices"][0]["logprobs"]["content"]
    assert len(entries[0]["top_logprobs"]) == 2
    assert not entries[0]["token"].startswith("token_id:")
    assert sent["top_logprobs"] == 2


def test_token_ids_that_were_asked_for_come():
    async def main(setting):
        return await setting.post(CHAT, request(return_token_ids=True))

    answer = run(main)
    assert answer.json["prompt_token_ids"] and answer.json["choices"][0]["token_ids"]


def test_what_the_harness_sends_reaches_the_server_but_for_pins_and_model():
    async def main(setting):
        lease = setting.gateway.open(rollout("b"), pin={"temperature": 1.0, "max_tokens": 9})
        body = request(temperature=0.1, max_completion_tokens=50, top_k=7, unheard_of={"a": 1})
        await setting.harness.post(lease, CHAT, body)
        return setting.sent[-1], lease.rollout.calls[0]

    sent, call = run(main, sampling={"min_p": 0.1, "max_tokens": 77})
    assert sent["model"] == "tiny"
    assert (sent["temperature"], sent["max_tokens"]) == (1.0, 9)
    assert "max_completion_tokens" not in sent
    assert (sent["top_k"], sent["unheard_of"], sent["min_p"]) == (7, {"a": 1}, 0.1)
    kept = msgspec.json.decode(call.request)
    assert (kept["model"], kept["temperature"], kept["messages"]) == ("gpt-5", 0.1, QUESTION)


@pytest.mark.parametrize("name", ["messages", "model", "stream", "tools"])
def test_what_is_no_sampling_parameter_cannot_be_pinned(name):
    async def main(setting):
        with pytest.raises(ConfigError, match=f"'{name}' is no sampling parameter"):
            setting.gateway.open(rollout("b"), pin={name: 1})
        return len(setting.gateway.leases)

    assert run(main) == 1


def test_each_of_several_choices_is_a_call():
    async def main(setting):
        answer = await setting.post(CHAT, request(n=3, temperature=1.0))
        return answer, setting.lease.rollout

    answer, found = run(main)
    assert len(answer.json["choices"]) == len(found.calls) == 3
    assert len({id(call.token_ids) for call in found.calls}) == 3
    assert found.usage.completion_tokens == answer.json["usage"]["completion_tokens"]


def test_nothing_but_what_capture_added_is_cut_out():
    text = '"logprobs": {"content": [1]}, "token_ids": [1, 2]'
    said = {
        "id": "x",
        "prompt_token_ids": [1, 2],
        "choices": [
            {
                "message": {"content": text, "generation_token_ids": [3], "own": {"a": [1]}},
                "logprobs": {"content": [{"token": '"}]', "logprob": -0.5, "top_logprobs": []}]},
                "token_ids": [3],
            },
            {"message": {"content": "b"}, "logprobs": None, "prompt_token_ids": []},
            {"message": {"generation_log_probs": [-0.5]}, "logprobs": {"content": []}},
        ],
        "usage": {"prompt_tokens": 2},
    }
    wire = Chat({"messages": QUESTION}, captures=True)
    for write in (json.dumps, lambda value: msgspec.json.encode(value).decode()):
        left = json.loads(wire.whole(None, write(said).encode()))
        assert left["prompt_token_ids"] is None and left["usage"] == said["usage"]
        one, two, three = left["choices"]
        assert one == {
            "message": {"content": text, "generation_token_ids": None, "own": {"a": [1]}},
            "logprobs": None,
            "token_ids": None,
        }
        assert two == {"message": {"content": "b"}, "logprobs": None, "prompt_token_ids": None}
        assert three == {"message": {"generation_log_probs": None}, "logprobs": None}


def test_lineages_have_urls_of_their_own():
    async def main(setting):
        lease = setting.lease
        url = f"{lease.lineage_url('helper')}{CHAT}"
        await setting.harness.send(url, request(), key=lease.api_key)
        await setting.post(CHAT, request())
        lease.close()
        return lease.rollout

    found = run(main)
    assert [call.lineage for call in found.calls] == ["helper", ""]
    assert found.turns == 1
    assert [call.prompt_messages for call in found.calls] == [0, 1]


def test_the_main_conversation_is_the_rollouts():
    async def main(setting):
        messages = list(QUESTION)
        for turn in range(3):
            await setting.post(CHAT, request(messages=[{"role": "user", "content": "A title?"}]))
            answer = await setting.post(CHAT, request(messages=messages, stream=turn == 1))
            if turn == 1:
                said = {"role": "assistant", "content": text_of(answer.events)}
            else:
                said = answer.json["choices"][0]["message"]
            messages += [said, {"role": "user", "content": f"And {turn}?"}]
        setting.lease.close()
        return setting.lease.rollout, messages

    found, messages = run(main, stub={"policy": echo})
    assert [message.text for message in found.messages] == [m["content"] for m in messages[:-1]]
    assert [call.prompt_messages for call in found.calls] == [0, 1, 0, 3, 0, 5]


def test_a_conversation_that_only_grows_is_one_sequence():
    async def main(setting):
        messages = list(QUESTION)
        for _ in range(3):
            answer = await setting.post(CHAT, request(messages=messages))
            messages += [answer.json["choices"][0]["message"], {"role": "user", "content": "More"}]
        return setting.lease.rollout

    built = build(run(main, stub={"policy": echo}))
    assert len(built.sequences) == 1
    assert not built.dropped


def test_models_and_tokenize():
    async def main(setting):
        lease = setting.lease
        listed = await setting.harness.send(
            f"{lease.base_url}/models", method="GET", key=lease.api_key
        )
        one = await setting.harness.send(
            f"{lease.base_url}/models/tiny", method="GET", key=lease.api_key
        )
        other = await setting.harness.send(
            f"{lease.base_url}/models/gpt-5", method="GET", key=lease.api_key
        )
        root = await setting.harness.send(
            f"{lease.root}/tokenize", {"messages": QUESTION}, key=lease.api_key
        )
        under = await setting.post("/tokenize", {"prompt": "Hi"})
        return listed, one, other, root, under

    listed, one, other, root, under = run(main)
    assert [model["id"] for model in listed.json["data"]] == ["tiny"]
    assert (one.json["id"], other.status) == ("tiny", 404)
    assert root.json["tokens"] and under.json["tokens"]


def test_without_token_ids_from_the_server_prompts_are_asked_for():
    async def main(setting):
        answer = await setting.post(CHAT, request(stream=True))
        return answer, setting.lease

    answer, lease = run(main, stub={"dialect": "llamacpp"}, mode=Capture())
    call = lease.rollout.calls[0]
    assert answer.status == 200 and not lease.warnings
    assert call.token_source == "endpoint"
    assert len(call.prompt_token_ids) == call.usage.prompt_tokens


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp", "nemo_rl"])
def test_every_sampled_token_of_a_stream_is_known(dialect):
    async def main(setting):
        body = request(tools=[TOOL], seed=3)
        answers = [await setting.post(CHAT, {**body, "stream": stream}) for stream in (False, True)]
        return answers, setting.lease.rollout.calls

    (_, streamed), (one, other) = run(
        main, stub={"dialect": dialect}, name="tiny", sampling={"temperature": 1.0, "top_p": 1.0}
    )
    assert one.token_ids == other.token_ids and one.prompt_token_ids == other.prompt_token_ids
    assert len(other.token_ids) == other.usage.completion_tokens
    assert other.token_source
    assert streamed.events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert not IDS.search(streamed.body.decode())


def test_a_transport_that_cannot_stream_is_streamed_in_a_few_events():
    async def main():
        harness = Harness()
        async with fake_model(lambda messages: "Hello") as model, Gateway(model) as gateway:
            lease = gateway.open(rollout())
            answer = await harness.post(lease, CHAT, request(stream=True))
            lease.close()
            await harness.close()
            return answer, lease.rollout

    answer, found = asyncio.run(main())
    assert text_of(answer.events) == "Hello"
    assert answer.events[-1]["choices"][0]["finish_reason"] == "stop"
    assert found.answer == "Hello"


@pytest.mark.parametrize("tokens", [True, False])
def test_each_choice_is_a_call_of_a_record_that_can_be_read(tokens):
    async def main(setting):
        await setting.post(CHAT, request(n=2))
        setting.lease.close()
        return setting.lease.rollout

    found = run(main, tokens=tokens)
    read = msgspec.json.decode(encode(found), type=Rollout)
    assert len(read.calls) == 2
    assert msgspec.json.decode(read.calls[0].response)["choices"]
    assert msgspec.json.decode(read.calls[1].response) is None
