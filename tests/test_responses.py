"""Messages as items of the Responses API, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos import Call, ConfigError, Message, ToolCall, Usage
from athlos.responses import read_items, read_turns, response, tool_item, write_items
from athlos.types import FunctionCall

text = st.text(max_size=8)
calls = st.lists(st.builds(ToolCall, text, st.builds(FunctionCall, text, text)), max_size=2)
said = st.text(min_size=1, max_size=8)
answers = st.builds(
    Message, st.just("assistant"), said, reasoning_content=st.none() | said, tool_calls=calls
)
others = st.one_of(
    st.builds(Message, st.sampled_from(["user", "system", "developer"]), text),
    st.builds(Message, st.just("tool"), text, tool_call_id=text),
)
IMAGE = {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}


def answer(prompt=None, sampled=None, logprobs=None, **fields):
    return Call(1, "stop", Usage(), 0.0, 0.1, prompt_token_ids=prompt, token_ids=sampled,
                logprobs=logprobs, **fields)  # fmt: skip


@given(st.lists(st.tuples(others, answers)))
def test_a_conversation_comes_back_as_it_was(pairs):
    messages = [message for pair in pairs for message in pair]
    assert list(read_items(write_items(messages))) == messages


def test_parts_come_back_as_they_were():
    message = Message("user", [{"type": "text", "text": "See:"}, IMAGE])
    items = write_items([message])
    assert [part["type"] for part in items[0]["content"]] == ["input_text", "input_image"]
    assert list(read_items(items)) == [message]


def test_an_answer_without_anything_is_an_empty_text():
    (item,) = write_items([Message("assistant")])
    assert item["content"][0]["text"] == ""


def test_token_fields_stand_on_the_last_item_of_a_call_and_part_its_message_from_the_next():
    call = ToolCall("c", FunctionCall("f", "{}"))
    messages = [
        Message("user", "u"),
        Message("assistant", "a", tool_calls=[call]),
        Message("assistant", "b"),
    ]
    items = write_items(messages, {1: answer([1], [2], [-0.5]), 2: answer([1, 2], [3], [-0.25])})
    assert [("prompt_token_ids" in item) for item in items] == [False, False, True, True]
    turns = list(read_turns(items))
    assert [message for message, _ in turns] == messages
    assert turns[1][1] == ([1], [2], [-0.5])
    assert turns[2][1] == ([1, 2], [3], [-0.25])


@pytest.mark.parametrize(
    "call", [answer([1], [2]), answer(None, [2], [-1.0]), answer([1], [2], [-1.0], complete=False)]
)
def test_token_fields_are_all_there_or_none(call):
    (item,) = write_items([Message("assistant", "a")], {0: call})
    assert not any(name.endswith(("_ids", "_probs")) for name in item)


def test_a_response_says_how_it_ended():
    made = response([], name="x", model="m", created=1.0, finish_reason="length", usage=Usage(2, 3))
    assert (made["status"], made["incomplete_details"]) == (
        "incomplete", {"reason": "max_output_tokens"},
    )  # fmt: skip
    assert made["usage"]["total_tokens"] == 5
    done = response([], name="x", model="m", created=1.0, finish_reason="stop")
    assert (done["status"], "usage" in done) == ("completed", False)


def test_a_tool_loses_one_level():
    wire = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
    assert tool_item(wire) == {
        "type": "function", "name": "f", "description": "d", "parameters": {}, "strict": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([1], "is no object"),
        ([{"type": "computer_call"}], "not supported"),
        ([{"role": "user", "content": None}], "has no content"),
        ([{"role": "user", "content": [1]}], "is no object"),
    ],
)
def test_an_error_says_where(items, message):
    with pytest.raises(ConfigError, match=f"of the reply .*{message}"):
        list(read_items(items, where="the reply"))


def test_blocks_of_an_answer_may_stay_apart():
    def say(*texts):
        content = [{"type": "output_text", "text": text} for text in texts]
        return {"type": "message", "role": "assistant", "content": content}

    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}

    def parts(*items):
        (message,) = read_items(list(items), keep_blocks=True)
        if isinstance(message.content, list):
            return [(part["item"], part["text"]) for part in message.content]
        return message.content

    assert parts(thought, say("a")) == "a"
    assert parts(say("a", "b")) == [(0, "a"), (0, "b")]
    assert parts(say("a"), say("b", "c")) == [(0, "a"), (1, "b"), (1, "c")]
    assert parts(say("a"), thought) == [(0, "a"), (1, "")]
    assert parts(thought) is None
    (joined,) = read_items([say("a", "b"), say("c")])
    assert joined.content == "abc"
