import msgspec
import pytest
from tests.gateway.helpers import TOOL, echo, run

from athlos.gateway.messages_request import to_chat
from athlos.gateway.refusal import Refusal
from athlos.testing.stub import turns

PATH = "/messages"
TOOLS = [
    {
        "name": "get_weather",
        "description": "Looks out of the window.",
        "input_schema": TOOL["function"]["parameters"],
    }
]
ASK = {"model": "claude", "max_tokens": 300, "messages": [{"role": "user", "content": "Weather?"}]}


PICTURE = {"type": "base64", "media_type": "image/png", "data": "AA"}
SUN = [{"type": "text", "text": "sun"}]


def never(call_id, value):
    return None


def test_a_request_is_a_chat_request():
    chat = to_chat(
        {
            "model": "claude",
            "max_tokens": 9,
            "system": [{"type": "text", "text": "Be good.", "cache_control": {"type": "x"}}],
            "stop_sequences": ["END"],
            "top_k": 3,
            "metadata": {"user_id": "u"},
            "tools": [*TOOLS, {"type": "web_search_20250305", "name": "web_search"}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "See:"},
                    {"type": "image", "source": PICTURE},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"city": "Oslo"}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": SUN},
                    {"type": "text", "text": "And?"},
                ]},
            ],
        },
        never,
    )  # fmt: skip
    roles = [message["role"] for message in chat["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    picture = chat["messages"][1]["content"][1]
    assert picture == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    answer = chat["messages"][2]
    assert (answer["content"], answer["reasoning_content"]) == ("I look.", "Hm.")
    assert answer["tool_calls"][0]["function"]["arguments"] == '{"city":"Oslo"}'
    assert chat["messages"][3] == {"role": "tool", "tool_call_id": "t1", "content": "sun"}
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["get_weather"]
    assert (chat["stop"], chat["top_k"], chat["max_tokens"]) == (["END"], 3, 9)
    assert (chat["tool_choice"], chat["parallel_tool_calls"]) == ("required", False)


@pytest.mark.parametrize(
    "content", [[{"type": "document"}], [{"type": "image", "source": 3}], {"a": 1}, 5]
)
def test_what_the_model_cannot_read_is_refused(content):
    with pytest.raises(Refusal) as caught:
        to_chat({"messages": [{"role": "user", "content": content}]}, never)
    assert caught.value.status == 400


def test_a_message_holds_thinking_text_and_tool_use():
    async def main(setting):
        body = {**ASK, "tools": TOOLS}
        whole = await setting.post(PATH, body)
        streamed = await setting.post(PATH, {**body, "stream": True})
        cut = await setting.post(PATH, {**body, "max_tokens": 3})
        key = {"x-api-key": setting.lease.api_key, "anthropic-version": "2023-06-01"}
        other = await setting.post(PATH, body, key="", headers=key)
        return whole, streamed, cut, other, setting.lease.rollout.calls

    whole, streamed, cut, other, calls = run(main)
    message = whole.json
    assert (message["type"], message["role"], message["stop_reason"]) == (
        "message", "assistant", "tool_use",
    )  # fmt: skip
    assert [block["type"] for block in message["content"]] == ["thinking", "tool_use", "tool_use"]
    assert "city" in message["content"][1]["input"]
    assert message["usage"]["output_tokens"] == calls[0].usage.completion_tokens
    assert (cut.json["stop_reason"], other.status) == ("max_tokens", 200)
    kinds = [event["type"] for event in streamed.events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    start = streamed.events[0]["message"]["usage"]
    assert start["input_tokens"] == calls[1].usage.prompt_tokens
    texts = [
        event["delta"]["partial_json"]
        for event in streamed.events
        if event.get("delta", {}).get("type") == "input_json_delta"
    ]
    inputs = [block["input"] for block in message["content"] if block["type"] == "tool_use"]
    assert inputs and len(texts) > len(inputs)
    assert calls[0].token_ids == calls[1].token_ids
    assert {call.api for call in calls} == {"messages"}


def test_blocks_of_a_stream_come_one_after_another():
    async def main(setting):
        return await setting.post(PATH, {**ASK, "tools": TOOLS, "stream": True})

    opened = None
    numbers = []
    for event in run(main).events:
        if event["type"] == "content_block_start":
            assert opened is None
            opened = event["index"]
            numbers.append(opened)
        elif event["type"] == "content_block_delta":
            assert event["index"] == opened
        elif event["type"] == "content_block_stop":
            assert event["index"] == opened
            opened = None
    assert opened is None
    assert numbers == list(range(len(numbers))) and len(numbers) > 2


@pytest.mark.parametrize("stream", [True, False])
def test_arguments_go_back_as_the_model_wrote_them(stream):
    odd = '{"city" :  "Oslo",   "n": 1.0}'
    call = f'<tool_call>\n{{"name": "get_weather", "arguments": {odd}}}\n</tool_call>'

    async def main(setting):
        answer = await setting.post(PATH, {**ASK, "tools": TOOLS, "stream": stream})
        first = setting.lease.rollout.calls[0]
        made = msgspec.json.decode(first.response)["choices"][0]["message"]["tool_calls"][0]
        value = msgspec.json.decode(made["function"]["arguments"])
        use = {"type": "tool_use", "id": made["id"], "name": "get_weather", "input": value}
        result = {"type": "tool_result", "tool_use_id": made["id"], "content": "sun"}
        messages = [
            *ASK["messages"],
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
        await setting.post(PATH, {**ASK, "tools": TOOLS, "messages": messages})
        sent = setting.sent[-1]["messages"][1]["tool_calls"][0]["function"]["arguments"]
        return answer, sent, made["function"]["arguments"]

    answer, sent, written = run(main, stub={"policy": turns(call, "Sunny.")})
    assert answer.status == 200
    assert sent == written
    assert sent != msgspec.json.encode(msgspec.json.decode(sent)).decode(), "it is not our own form"


def test_tokens_are_counted_by_the_server():
    async def main(setting):
        counted = await setting.post(f"{PATH}/count_tokens", {**ASK, "system": "Be good."})
        await setting.post(PATH, {**ASK, "system": "Be good."})
        return counted.json, setting.lease.rollout.calls[0]

    counted, call = run(main, stub={"policy": echo})
    assert counted == {"input_tokens": call.usage.prompt_tokens}
