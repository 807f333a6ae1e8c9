"""The vLLM dialect against replies of a real vLLM, field by field."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.testing.stub.helpers import DATA, TINY, Body, parsed, post, send

from athlos.testing.stub import StubFaults, StubServer, ToolPolicy, stub_server

FOLDER = DATA / "recorded" / "vllm"
# Of other endpoints; and one that has its thinking marks in parts, as a grammar allows.
OTHERS = ("messages", "responses", "weight_change", "reasoning_messages", "reasoning_spelled")
NAMES = sorted(path.stem for path in FOLDER.glob("*.json") if not path.stem.startswith(OTHERS))
CONTEXT = 2048

KEYED = ("prompt_logprobs", "top_logprobs")  # the keys are token ids, or texts of tokens
DECIDED = ("prompt_token_ids", "prompt_tokens", "tokens", "token_strs", "prompt")


@pytest.fixture(scope="module")
def stubs() -> Iterator[dict[bool, StubServer]]:
    """With and without reasoning told apart, as the recorded servers; without own tool calls."""
    policy = ToolPolicy(calls=0)
    with (
        stub_server(tokenizer=TINY, policy=policy, scale_out=True, max_len=CONTEXT) as thinking,
        stub_server(
            tokenizer=TINY, policy=policy, scale_out=True, max_len=CONTEXT, reasoning=False
        ) as plain,
    ):
        yield {False: plain, True: thinking}


def recorded(name: str) -> Body:
    return json.loads((FOLDER / f"{name}.json").read_text())


def shape(value: Any, under: str = "") -> Any:
    """A value with types in place of what is in it; equal for values of the same shape."""
    if isinstance(value, dict):
        if under in KEYED:
            return {"*": [shape(part) for part in list(value.values())[:1]]}
        return {key: shape(part, key) for key, part in sorted(value.items())}
    if under == "bytes":
        return "bytes"  # of a part of a character there are none
    if isinstance(value, list):
        seen = [shape(part, under) for part in value]
        return sorted(
            (part for place, part in enumerate(seen) if part not in seen[:place]), key=str
        )
    return type(value).__name__


def answer(stub: StubServer, request: Body) -> tuple[int, str]:
    status, text, _ = send(stub.root + request["path"], request.get("body"), request["method"])
    return status, text


def exchanges(name: str) -> list[Body]:
    """The requests and replies of a file."""
    record = recorded(name)
    return record.get("steps") or [record]


@pytest.mark.parametrize("name", NAMES)
def test_replies_have_the_recorded_shape(name: str, stubs: dict[bool, StubServer]) -> None:
    for exchange in exchanges(name):
        status, text = answer(stubs[name.startswith("reasoning")], exchange["request"])
        reply = exchange["reply"]
        assert status == reply["status"]
        if "body" in reply:
            assert shape(json.loads(text)) == shape(reply["body"])
            continue
        ours, theirs = parsed(text), parsed(reply["text"])
        assert shape(ours[0]) == shape(theirs[0])
        assert shape(ours[-1]) == shape(theirs[-1])
        shapes = [shape(event) for event in theirs]
        assert [event for event in ours if shape(event) not in shapes] == []


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("error")])
def test_prompts_have_the_recorded_ids(name: str, stubs: dict[bool, StubServer]) -> None:
    for exchange in exchanges(name):
        _, text = answer(stubs[name.startswith("reasoning")], exchange["request"])
        reply = exchange["reply"]
        ours = json.loads(text) if "body" in reply else parsed(text)[0]
        theirs = reply["body"] if "body" in reply else parsed(reply["text"])[0]
        assert list(decided(ours)) == list(decided(theirs))


def decided(value: Any) -> Iterator[Any]:
    """What the template and the tokenizer alone decide."""
    if isinstance(value, list):
        for part in value:
            yield from decided(part)
    if isinstance(value, dict):
        for key, part in value.items():
            if key in DECIDED or (key == "token_ids" and "sampling_params" in value):
                yield key, part
            elif key not in ("logprobs", "usage"):
                yield from decided(part)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("error") and "json" not in n])
def test_errors_say_what_was_recorded(name: str, stubs: dict[bool, StubServer]) -> None:
    record = recorded(name)
    _, text = answer(stubs[False], record["request"])
    assert json.loads(text) == record["reply"]["body"]


@pytest.mark.parametrize("name", ["tool_call", "tool_call_two"])
def test_tool_calls_are_those_that_were_recorded(name: str, stubs: dict[bool, StubServer]) -> None:
    record = recorded(name)
    _, text = answer(stubs[False], record["request"])
    message = json.loads(text)["choices"][0]["message"]
    calls = [call["function"] for call in message["tool_calls"]]
    theirs = record["reply"]["body"]["choices"][0]["message"]["tool_calls"]
    assert [call["name"] for call in calls] == [call["function"]["name"] for call in theirs]
    assert len(calls) == len(theirs)


@pytest.mark.parametrize("name", ["weight_change", "weight_change_stream"])
def test_a_weight_change_has_the_recorded_shape(name: str) -> None:
    *steps, last = recorded(name)["steps"]
    faults = StubFaults(token_delay=0.005)
    with stub_server(tokenizer=TINY, scale_out=True, faults=faults) as stub:
        texts: list[str] = []
        thread = threading.Thread(target=lambda: texts.append(answer(stub, last["request"])[1]))
        thread.start()
        while not stub.counters.in_flight:
            time.sleep(0.01)
        time.sleep(0.1)
        for step in steps:
            _, text = answer(stub, step["request"])
            assert shape(json.loads(text)) == shape(step["reply"]["body"])
        faults.token_delay = 0.0
        thread.join(30)
    if "body" in last["reply"]:
        ours, theirs = json.loads(texts[0]), last["reply"]["body"]
    else:
        ours, theirs = parsed(texts[0])[-1], parsed(last["reply"]["text"])[-1]
    assert shape(ours) == shape(theirs)
    spans = ours["choices"][0]["weight_versions"]
    assert [span["version"] for span in spans] == ["default", "7"]
    assert spans[0]["end"] == spans[1]["start"]
    assert spans[1]["end"] == last["request"]["body"]["sampling_params"]["max_tokens"]


def test_generate_is_refused_unless_it_is_switched_on() -> None:
    with stub_server(tokenizer=TINY) as stub:
        status, text, _ = send(stub.root + "/inference/v1/generate", {"token_ids": [1]})
    assert status == 403
    assert "Scale-out endpoints are disabled" in text


def test_generate_called_tokens_otherwise_before() -> None:
    with stub_server(tokenizer=TINY, scale_out=True, generate_style="token") as stub:
        given = {"token_ids": [1, 2], "sampling_params": {"max_tokens": 3, "logprobs": 0}}
        (choice,) = post(stub.root + "/inference/v1/generate", given)["choices"]
    tokens = [entry["token"] for entry in choice["logprobs"]["content"]]
    assert tokens == [f"token_id:{at}" for at in choice["token_ids"]]
