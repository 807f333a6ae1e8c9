"""What the stub says: policies, arguments, regular expressions, and how they are parsed again."""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.testing.stub.helpers import ASK, END, IDS, TINY, WEATHER, chat, post

from athlos.testing.stub import Policy, ToolPolicy, View, call_text, stub_server, turns
from athlos.testing.stub.grammar import matching
from athlos.testing.stub.parsing import StreamParser, parse
from athlos.testing.stub.policy import arguments_for
from athlos.testing.stub.view import read_chat, read_tools

ROOM = {
    "type": "object",
    "$defs": {"Size": {"enum": ["s", "m"]}},
    "properties": {
        "size": {"$ref": "#/$defs/Size"},
        "count": {"type": "integer", "minimum": 3, "maximum": 4},
        "share": {"type": "number"},
        "open": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "owner": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "kind": {"const": "room"},
        "place": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        "name": {"type": "string", "minLength": 12},
    },
    "required": ["size", "count", "share", "open", "tags", "owner", "kind", "place", "name"],
}


@given(st.integers())
@settings(max_examples=50, deadline=None)
def test_arguments_follow_their_schema(seed: int) -> None:
    made = arguments_for(ROOM, random.Random(seed))
    assert made["size"] in ("s", "m")
    assert made["count"] in (3, 4)
    assert isinstance(made["share"], (int, float))
    assert made["open"] in (True, False)
    assert len(made["tags"]) == 2
    assert made["owner"] is None
    assert made["kind"] == "room"
    assert isinstance(made["place"]["x"], int)
    assert len(made["name"]) >= 12


@pytest.mark.parametrize(
    "pattern",
    [
        "a(b|cd)+e?",
        r"\d{3}-[a-f]{2,4}",
        r"x.*\.",
        "[^a-y ]{5}",
        r"<tool_call>\n\{\"a\": (1|2)\}",
        "",
    ],
)
def test_texts_match_their_pattern(pattern: str) -> None:
    for seed in range(30):
        assert re.fullmatch(pattern, matching(pattern, random.Random(seed)))


@pytest.mark.parametrize("pattern", ["(a", "a)", "*", "[ab"])
def test_a_pattern_that_is_none_is_an_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        matching(pattern, random.Random(0))


def test_tools_are_called_before_the_answer() -> None:
    with stub_server(tokenizer=TINY, policy=ToolPolicy(calls=2)) as stub:
        messages: list[dict[str, Any]] = list(ASK)
        reasons = []
        for _ in range(3):
            (choice,) = chat(stub.url, messages, tools=[WEATHER])["choices"]
            reasons.append(choice["finish_reason"])
            message = choice["message"]
            messages.append(message)
            for call in message.get("tool_calls", []):
                arguments = json.loads(call["function"]["arguments"])
                assert set(arguments) == {"city", "soon"}
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": "sunny"})
    assert reasons == ["tool_calls", "tool_calls", "stop"]


def test_token_ids_are_answered_as_the_messages_that_they_are() -> None:
    policy = ToolPolicy(calls=1, think=True)
    with stub_server(tokenizer=TINY, policy=policy, scale_out=True) as stub:
        messages: list[dict[str, Any]] = list(ASK)
        for _ in range(2):
            reply = chat(stub.url, messages, tools=[WEATHER], **IDS)
            (choice,) = reply["choices"]
            given = {"token_ids": reply["prompt_token_ids"], "sampling_params": {"logprobs": 0}}
            (other,) = post(f"{stub.root}/inference/v1/generate", given)["choices"]
            assert other["token_ids"] == choice["token_ids"]
            messages += [choice["message"], {"role": "tool", "content": "sunny"}]


def test_no_tool_is_called_that_may_not_be() -> None:
    with stub_server(tokenizer=TINY) as stub:
        none = chat(stub.url, tools=[WEATHER], tool_choice="none")
        with_answer = [*ASK, {"role": "assistant", "content": "It is sunny."}, *ASK]
        required = chat(stub.url, with_answer, tools=[WEATHER], tool_choice="required")
    assert none["choices"][0]["finish_reason"] == "stop"
    assert required["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("policy", "texts"),
    [
        (turns("one", "two"), ["one", "two", "two"]),
        (turns([1, 2, END]), ['"#', '"#', '"#']),
        (lambda view: view.prompt[:12], ["<|im_start|>"] * 3),
    ],
)
def test_policies_are_functions(policy: Policy, texts: list[str]) -> None:
    said = []
    with stub_server(tokenizer=TINY, policy=policy) as stub:
        messages: list[dict[str, Any]] = list(ASK)
        for _ in texts:
            reply = chat(stub.url, messages, **IDS)
            said.append(stub.tokenizer.decode(reply["choices"][0]["token_ids"][:-1]))
            messages += [reply["choices"][0]["message"], *ASK]
    assert said == texts


def test_a_policy_sees_the_request() -> None:
    seen: list[View] = []

    def policy(view: View) -> str:
        seen.append(view)
        return "Yes."

    with stub_server(tokenizer=TINY, policy=policy) as stub:
        chat(stub.url, tools=[WEATHER], n=2, temperature=0.5, max_tokens=9, seed=4)
    assert [view.index for view in seen] == [0, 1]
    assert seen[0].messages == ASK
    assert seen[0].tools == [WEATHER]
    assert (seen[0].sampling.shape.temperature, seen[0].sampling.max_tokens) == (0.5, 9)
    assert (seen[0].rounds, seen[0].replies) == (0, 0)


def test_a_prompt_can_be_read_again() -> None:
    called = {"function": {"name": "get_weather", "arguments": {"city": "SF"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        *ASK,
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "content": "sunny"},
        {"role": "tool", "content": "rainy"},
    ]
    with stub_server(tokenizer=TINY) as stub:
        prompt = stub.tokenizer.render(messages, [WEATHER])
    read = read_chat(prompt)
    roles = ["system", "user", "assistant", "tool", "tool"]
    assert [message["role"] for message in read] == roles
    assert [message["content"] for message in read[3:]] == ["sunny", "rainy"]
    assert read_tools(prompt) == [WEATHER]


CALLS = call_text("add", {"a": 1}) + "\n" + call_text("say", {"text": "</tool> {} é"})
TEXTS = [
    "Hello.",
    f"<think>\nHm.\n</think>\n\n{CALLS}",
    f"First.\n{CALLS}",
    "a < b <tool",
    "<think>cut",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_text_in_pieces_is_parsed_as_the_whole(text: str, data: st.DataObject) -> None:
    whole = parse(text, reasoning=True, tools=True)
    parser = StreamParser(reasoning=True, tools=True)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    deltas = [d for piece in pieces[:-1] for d in parser.feed(piece)]
    deltas += list(parser.feed(pieces[-1], last=True))
    assert "".join(d.get("content", "") for d in deltas).strip() == (whole.content or "").strip()
    assert "".join(d.get("reasoning", "") for d in deltas) == (whole.reasoning or "")
    names = [d["name"] for d in deltas if "name" in d]
    arguments = [
        "".join(d["arguments"] for d in deltas if "arguments" in d and d["index"] == place)
        for place in range(len(names))
    ]
    assert list(zip(names, arguments, strict=True)) == whole.calls


def test_a_tool_call_that_is_no_json_stays_text() -> None:
    text = "<tool_call>\n{oops\n</tool_call>"
    assert parse(text, reasoning=True, tools=True).content == text
