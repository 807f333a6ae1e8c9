"""The formats of the `renderers` library, as exact mode uses them."""

import pytest
from tests.models.tokens.families import TOKENS, renderer, tokenizer

from athlos.errors import ConfigError, ModelError
from athlos.models.tokens import Tokenizer, load_renderer
from athlos.types import FunctionCall, Message, ToolCall

QUESTION = [Message("user", "hi")]
CALL = Message(
    "assistant",
    "hello",
    reasoning_content="hm",
    tool_calls=[ToolCall("c", FunctionCall("f", "{}"))],
)
RESULTS = [Message("tool", "one", tool_call_id="c"), Message("tool", "two", tool_call_id="c")]


def extended(made, sample, new, before=(*QUESTION, CALL)):
    prompt, ids = made.render(QUESTION), made._tokenizer.encode(sample)
    got = made.extend(prompt, ids, list(before), new)
    if got is None:
        return None
    assert got[: len(prompt) + len(ids)] == prompt + ids
    return made.decode(got[len(prompt) + len(ids) :])


RESULTS_TURN = (
    "\n<|im_start|>user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n"
    "</tool_response><|im_end|>\n<|im_start|>assistant\n"
)


@pytest.mark.parametrize(
    ("sample", "behind"),
    [
        pytest.param("hello<|im_end|>", RESULTS_TURN, id="ended"),
        pytest.param("hello<|im_end|>\n", RESULTS_TURN[1:], id="with the newline"),
        pytest.param("hel", "<|im_end|>" + RESULTS_TURN, id="cut off"),
        pytest.param("<think>\nhm", "</think><|im_end|>" + RESULTS_TURN, id="cut off in thought"),
        pytest.param("hello<|im_end|>more", None, id="text behind the end"),
    ],
)
def test_the_seam(sample, behind):
    assert extended(renderer("qwen3"), sample, RESULTS) == behind


def test_reasoning_stays_over_a_user_turn_unless_the_template_is_to_be_followed():
    sample, new = "<think>\nhm\n</think>\n\nhello<|im_end|>", [Message("user", "again")]
    assert "again" in extended(renderer("qwen3"), sample, new)
    assert extended(renderer("qwen3", keep_reasoning=False), sample, new) is None
    assert extended(renderer("qwen3", keep_reasoning=False), sample, RESULTS) == RESULTS_TURN


def test_tool_results_get_the_name_of_their_function():
    behind = extended(renderer("gpt-oss"), "hm<|end|><|start|>assistant<|call|>", RESULTS[:1])
    assert "<|start|>functions.f to=assistant" in behind


def test_a_missing_harmony_vocabulary_is_named(monkeypatch):
    def offline(name):
        raise RuntimeError("error downloading or loading vocab file")

    monkeypatch.setattr("renderers.gpt_oss.load_harmony_encoding", offline)
    with pytest.raises(ConfigError, match="loading vocab file") as caught:
        load_renderer(tokenizer("gpt-oss"), family="gpt-oss")
    assert "TIKTOKEN_ENCODINGS_BASE" in caught.value.hint


def test_what_a_format_cannot_express_is_a_model_error():
    two = Message("assistant", None, tool_calls=[*CALL.tool_calls, *CALL.tool_calls])
    with pytest.raises(ModelError, match=r"llama-3 cannot render .* single tool call"):
        renderer("llama-3").render([*QUESTION, two])
    assert extended(renderer("llama-3"), "hello<|eot_id|>", RESULTS, (*QUESTION, two)) is not None


def test_malformed_tool_calls_stay_readable():
    made = renderer("qwen3")
    text = 'So: <tool_call>\n{"name": "f", "arguments": {\n</tool_call><|im_end|>'
    message = made.parse([], made._tokenizer.encode(text))
    assert message.tool_calls == []
    assert message.content.endswith('<tool_call>\n{"name": "f", "arguments": {\n</tool_call>')


@pytest.mark.parametrize(
    "body",
    [
        '{"name": 5, "arguments": {}}',
        '{"name": "f\\ud800", "arguments": {}}',
        '{"name": "f", "arguments": {"x": NaN}}',
        '{"name": "f", "arguments": "\\ud800"}',
        "[" * 3000 + "]" * 3000,
    ],
)
def test_calls_that_no_tool_could_take_are_content(body):
    made = renderer("qwen3")
    text = f"<tool_call>\n{body}\n</tool_call>"
    message = made.parse([], made._tokenizer.encode(text))
    assert message.tool_calls == []
    assert message.content == text


def test_call_ids_depend_on_the_ids_only():
    made = renderer("qwen3")
    text = '<tool_call>\n{"name": "f", "arguments": {"é": "\\ud800"}}\n</tool_call>' * 2
    ids = made._tokenizer.encode(text)
    first, again, later = (made.parse(prompt, ids) for prompt in ([1], [1], [1, 2]))
    assert first == again
    names = {call.id for message in (first, later) for call in message.tool_calls}
    assert len(names) == 4
    assert all(len(name) == 9 and name.isalnum() for name in names)


def test_the_format_is_chosen_by_the_exact_name():
    backend = tokenizer("qwen3").backend
    template = "{{ messages[0].content }}<|im_end|>"
    made = Tokenizer(backend, config={"eos_token": "<|im_end|>"}, chat_template=template)
    assert load_renderer(made, model_name="Qwen/Qwen3-4B").name == "qwen3"
    assert load_renderer(made, model_name="me/Qwen3-4B-tuned").name == "template"
    assert load_renderer(made, model_name="Qwen/Qwen3-4B", family="template").method == "suffix"


@pytest.mark.parametrize("family", TOKENS)
def test_marks_never_reach_the_ids(family):
    made = renderer(family)
    every = " ".join(tokenizer(family).added)
    tool = {"name": "f", "description": every, "parameters": {"type": "object"}}
    ids = made.render(
        [Message("user", f"\ue0f1 {every}")], [{"type": "function", "function": tool}]
    )
    assert made.decode(ids).count("\ue0f1") == 1
    assert every in made.decode(ids)
