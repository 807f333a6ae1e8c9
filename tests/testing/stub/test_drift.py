"""Drift comes out of tokenizer, template and sampled ids."""

import pytest
from tests.testing.stub.helpers import END, TINY, breaks, conversation

from athlos.errors import ConfigError
from athlos.testing.stub import DRIFTS, ToolPolicy, stub_server


@pytest.mark.parametrize("think", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
def test_a_conversation_with_tools_only_grows(think: bool, parallel: bool) -> None:
    policy = ToolPolicy(calls=3, think=think, parallel=parallel)
    with stub_server(tokenizer=TINY, policy=policy) as stub:
        assert breaks(conversation(stub.url, 4)) == []


def test_another_question_drops_the_reasoning_before_it() -> None:
    with stub_server(tokenizer=TINY, policy=ToolPolicy(calls=1, think=True)) as stub:
        assert breaks(conversation(stub.url, 4)) == [2]


@pytest.mark.parametrize("kind", ["merge", "tool_rerender", "drop_reasoning", "newline"])
def test_drift_breaks_the_prefix(kind: str) -> None:
    with stub_server(tokenizer=TINY, drift={kind}) as stub:
        assert breaks(conversation(stub.url, 3)) == [1, 2]


def test_merged_tokens_have_the_text_of_those_that_were_sampled() -> None:
    with (
        stub_server(tokenizer=TINY, drift={"merge"}) as drifting,
        stub_server(tokenizer=TINY) as plain,
    ):
        (prompt, sample), (again, _) = conversation(drifting.url, 2)
        (_, whole), _ = conversation(plain.url, 2)
        tokenizer = plain.tokenizer
    assert sample != whole
    assert tokenizer.decode(sample) == tokenizer.decode(whole)
    assert tokenizer.encode(tokenizer.decode(sample)) == whole
    assert again[: len(prompt + whole)] == prompt + whole


def test_arguments_are_written_again_by_the_template() -> None:
    with stub_server(tokenizer=TINY, drift={"tool_rerender"}) as stub:
        (_, sample), (again, _) = conversation(stub.url, 2)
        said, rendered = stub.tokenizer.decode(sample), stub.tokenizer.decode(again)
    assert '"arguments":  {"city":' in said
    assert said.removesuffix("<|im_end|>") not in rendered
    assert '"arguments": {"city": ' in rendered


def test_reasoning_of_earlier_turns_is_not_in_the_prompt() -> None:
    with stub_server(tokenizer=TINY, drift={"drop_reasoning"}) as stub:
        (_, sample), (again, _) = conversation(stub.url, 2)
        assert "<think>" in stub.tokenizer.decode(sample)
        assert "<think>" not in stub.tokenizer.decode(again)


def test_a_truncated_sample_has_no_end_of_turn_and_the_template_adds_one() -> None:
    with stub_server(tokenizer=TINY, drift={"truncate_eos"}) as stub:
        seen = conversation(stub.url, 3)
    assert all(END not in sample for _, sample in seen)
    assert breaks(seen) == []
    (prompt, sample), (again, _), _ = seen
    assert again[len(prompt + sample)] == END


def test_kinds_of_drift_add_up() -> None:
    with stub_server(tokenizer=TINY, drift=DRIFTS) as stub:
        (_, sample), _ = conversation(stub.url, 2)
        text = stub.tokenizer.decode(sample)
    assert text.startswith("<think>")
    assert text.endswith("</tool_call>\n")
    assert '"arguments":  {' in text


def test_an_unknown_drift_is_refused() -> None:
    with (
        pytest.raises(ConfigError, match="unknown drift 'swerve'"),
        stub_server(tokenizer=TINY, drift={"swerve"}),
    ):
        pass
