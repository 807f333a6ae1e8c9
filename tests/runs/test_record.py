"""A line is written only if it can be read again, whatever an author put into the record."""

import copy
import math
import pickle
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athlos import Message, Rollout
from athlos.runs import encode
from athlos.types import Call, Failure, FunctionCall, Timing, ToolCall, Usage


def usual():
    return Rollout(
        id="t.0.0",
        task_id="t",
        sample=0,
        environment="env",
        model="m",
        reward=0.5,
        rewards={"right": 1.0},
        metrics={"words": 3.0},
        extra={"answer": "é"},
        messages=[
            Message("user", "hello"),
            Message("assistant", tool_calls=[ToolCall("c", FunctionCall("add", "{}"))]),
            Message("tool", "1", tool_call_id="c", name="add"),
            Message("assistant", "Done.", reasoning_content="hm"),
        ],
        calls=[Call(1, "stop", Usage(5, 7), 1.0, 0.25, token_ids=[1, 2], logprobs=[-0.1, -0.2])],
        usage=Usage(5, 7),
        role_usage={"judge": Usage(1, 2)},
        timing=Timing(duration=1.5),
    )


def everything(value):
    """Every object of ours in a record."""
    yield value
    for name in value.__struct_fields__:
        inner = getattr(value, name)
        inner = inner.values() if isinstance(inner, dict) else inner
        for one in inner if isinstance(inner, Iterable) else [inner]:
            if isinstance(one, msgspec.Struct):
                yield from everything(one)


ODD = [object(), math.nan, math.inf, "text", 5, True, 1.5, None, [], {}, {1: 2}, [None]]
ODD += ["\ud800", 2**64, {"a": math.nan}, {"a": "b"}, {"a": 1}, b"bytes", Message("user")]
ODD += [msgspec.Raw(b"{")]
FIELDS = [
    (position, name)
    for position, one in enumerate(everything(usual()))
    for name in one.__struct_fields__
]


@pytest.mark.parametrize(("position", "name"), FIELDS)
def test_an_odd_value_in_any_field_is_refused_or_can_be_read(position, name):
    trusted = name in ("prompt_token_ids", "token_ids", "logprobs")
    for odd in ODD:
        rollout = usual()
        setattr(list(everything(rollout))[position], name, odd)
        if trusted and isinstance(odd, list):
            continue
        try:
            line = encode(rollout)
        except (TypeError, ValueError, RecursionError):
            continue
        assert isinstance(msgspec.json.decode(line, type=Rollout), Rollout)


@pytest.mark.parametrize("name", ["rewards", "metrics", "extra", "role_usage"])
def test_an_odd_value_in_a_dict_is_refused_or_can_be_read(name):
    for odd in ODD:
        rollout = usual()
        getattr(rollout, name)["odd"] = odd
        try:
            line = encode(rollout)
        except (TypeError, ValueError, RecursionError):
            continue
        assert isinstance(msgspec.json.decode(line, type=Rollout), Rollout)


@given(st.text(), st.floats(), st.integers(-(2**70), 2**70))
def test_what_is_read_is_what_was_written(text, number, whole):
    rollout = usual()
    rollout.messages.append(Message("user", text))
    rollout.extra = {"text": text, "whole": whole}
    rollout.metrics["number"] = number
    expected = copy.deepcopy(rollout)
    try:
        line = encode(rollout)
    except ValueError:
        assert not math.isfinite(number) or abs(whole) >= 2**63
        return
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line, type=Rollout) == expected


def test_extra_that_is_nested_too_deeply_is_refused():
    rollout = usual()
    deep = []
    for _ in range(100_000):
        deep = [deep]
    rollout.extra["deep"] = deep
    with pytest.raises(RecursionError):
        encode(rollout)


def test_a_failure_is_checked_too():
    failure = Failure("t.0.0", "t", 0, 0, "timeout", "late")
    assert msgspec.json.decode(encode(failure), type=Failure) == failure
    failure.timing.duration = math.nan
    with pytest.raises(ValueError, match="duration"):
        encode(failure)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_a_copy_can_be_written_as_well(copied):
    line = encode(copied(usual()))
    assert msgspec.json.decode(line, type=Rollout) == msgspec.json.decode(
        encode(usual()), type=Rollout
    )


def test_a_body_that_is_no_json_is_refused():
    rollout = usual()
    rollout.calls[0].request = msgspec.Raw()
    with pytest.raises((ValueError, msgspec.DecodeError)):
        encode(rollout)
