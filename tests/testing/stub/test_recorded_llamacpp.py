"""The llama.cpp dialect against replies of a real server: what is in both has one shape."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.testing.stub.helpers import DATA, TINY, Body, parsed, send

from athlos.testing.stub import StubServer, stub_server

FOLDER = DATA / "recorded" / "llamacpp"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
# Of no use to those who want tokens: settings, speed, caches, what the model is made of.
SKIPPED = (
    "generation_settings",
    "timings",
    "prompt_tokens_details",
    "meta",
    "models",
    "architecture",
)


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    with stub_server("llamacpp", tokenizer=TINY, max_len=512) as stub:
        yield stub


def shape(value: Any, under: str = "") -> Any:
    if under == "bytes":
        return "bytes"
    if isinstance(value, dict):
        return {k: shape(part, k) for k, part in sorted(value.items()) if k not in SKIPPED}
    if isinstance(value, list):
        seen = [shape(part, under) for part in value]
        return sorted((part for at, part in enumerate(seen) if part not in seen[:at]), key=str)
    return type(value).__name__


def recorded(name: str) -> Body:
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_there_are_recordings() -> None:
    assert len(NAMES) == 14


@pytest.mark.parametrize("name", NAMES)
def test_replies_have_the_recorded_shape(name: str, stub: StubServer) -> None:
    request, reply = recorded(name)["request"], recorded(name)["reply"]
    status, text, _ = send(stub.root + request["path"], request["body"], request["method"])
    assert status == reply["status"]
    if "body" in reply:
        assert shape(json.loads(text)) == shape(reply["body"])
        return
    lines = [line for line in reply["text"].split("\n\n") if line not in ("", "data: [DONE]")]
    ours = parsed(text)
    theirs = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert shape(ours[0]) == shape(theirs[0])
    assert shape(ours[-1]) == shape(theirs[-1])
    shapes = [shape(event) for event in theirs]
    assert [event for event in ours if shape(event) not in shapes] == []


def test_a_stream_does_not_tell_its_last_token_and_a_whole_reply_does(stub: StubServer) -> None:
    def counts(text: str) -> tuple[int, int]:
        events = parsed(text)
        told = [c["logprobs"]["content"] for e in events for c in e["choices"] if "logprobs" in c]
        return sum(map(len, told)), events[-1]["usage"]["completion_tokens"]

    record = recorded("chat_stream")
    _, text, _ = send(stub.url + "/chat/completions", record["request"]["body"])
    for told, sampled in (counts(text), counts(record["reply"]["text"])):
        assert told == sampled - 1
    whole = recorded("chat_stop")["reply"]["body"]
    told = len(whole["choices"][0]["logprobs"]["content"])
    assert told == whole["usage"]["completion_tokens"]
