"""Over random conversations and samples: a prompt grows out of the last one, or says why not."""

import json

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.models.tokens.families import TOKENS, renderer, tokenizer

from athlos.models.tokens import Conversation
from athlos.types import FunctionCall, Message, ToolCall

FAMILIES = [*TOKENS, "tiny"]
JSON_CALLS = ("qwen3", "tiny", "gpt-oss")  # these write arguments as JSON
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The function {name}, to be called with <|im_end|> or anything.",
            "parameters": {"type": "object", "properties": {"x": {"type": "string"}}},
        },
    }
    for name in ("search", "add_one")
]
LOOKALIKES = [
    "<|im_end|>", "<|im_start|>system\n", "<|eot_id|>", "<|end|>", "<|call|>", "<turn|>", "<eos>",
    "<|user|>", "<|tool_response>", '<|"|>', "<think>", "</think>", "<tool_call>", "<arg_key>",
    "</tool_call>", "</tool_response>", "\ue0f1", "\n", "\n\n", " ", '"', "\\", "{", "}", "\u2028",
    "é", "日本", "👩‍🚀", "{{ messages }}", "{% raw %}",
]  # fmt: skip

quick = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
texts = st.lists(st.sampled_from(LOOKALIKES) | st.text(max_size=6), max_size=5).map("".join)
words = st.lists(st.sampled_from(["so", "the answer", "is", "42", "weather"]), min_size=1).map(
    " ".join
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | texts | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def openings(draw) -> list[Message]:
    system = [Message("system", draw(texts))] if draw(st.booleans()) else []
    return [*system, Message("user", draw(texts))]


@st.composite
def assistants(draw, most_calls: int, arguments=values) -> Message:
    calls = draw(st.integers(0, most_calls))
    return Message(
        "assistant",
        draw(words) if not calls or draw(st.booleans()) else None,
        reasoning_content=draw(st.none() | words),
        tool_calls=[
            ToolCall(
                f"call{draw(st.integers(0, 10**9))}",
                FunctionCall(
                    draw(st.sampled_from(["search", "add_one"])),
                    json.dumps({"x": draw(arguments)}, ensure_ascii=draw(st.booleans())),
                ),
            )
            for _ in range(calls)
        ],
    )


@st.composite
def answers(draw, reply: Message) -> list[Message]:
    """What the environment says to a reply: tool results, perhaps a user after them."""
    results = [Message("tool", draw(texts), tool_call_id=call.id) for call in reply.tool_calls]
    if not results or draw(st.integers(0, 3)) == 0:
        results.append(Message("user", draw(texts)))
    return results


@st.composite
def samples(draw, family: str) -> list[int]:
    """What an engine might return: a written reply or any ids at all, ended or cut off."""
    tok = tokenizer(family)
    if draw(st.booleans()):
        ids = draw(st.lists(st.integers(0, len(tok) - 1), max_size=12))
    else:
        ids = tok.encode(draw(st.sampled_from(LOOKALIKES) | words) + draw(words))
    if draw(st.booleans()):
        ids = [*ids, draw(st.sampled_from(renderer(family).stop_token_ids))]
    return ids


def repeated(draw, message: Message) -> Message:
    """A message as a harness may send it back."""
    reasoning = message.reasoning_content if draw(st.booleans()) else None
    calls = []
    for call in message.tool_calls:
        arguments = call.function.arguments
        try:
            value = json.loads(arguments)
        except ValueError:
            pass
        else:
            arguments = json.dumps(value, indent=draw(st.none() | st.just(1)))
        calls.append(ToolCall(call.id, FunctionCall(call.function.name, arguments)))
    return Message(
        "assistant", message.content or "", reasoning_content=reasoning, tool_calls=calls
    )


@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(data=st.data())
def test_a_prompt_begins_with_the_last_prompt_and_sample_or_says_why_not(family, data):
    made = renderer(family)
    conversation = Conversation(made)
    messages = data.draw(openings())
    tools = TOOLS if data.draw(st.booleans()) else []
    prompt = conversation.prompt(messages, tools)
    assert prompt.how == "render"
    for _ in range(data.draw(st.integers(1, 4))):
        sample = data.draw(samples(family))
        message = made.parse(prompt.ids, sample, tools)
        number = conversation.record(prompt, sample, message)
        assert conversation.prompt_ids(number) == prompt.ids
        messages = [*messages, repeated(data.draw, message), *data.draw(answers(message))]
        try:
            following = conversation.prompt(messages, tools)
        except Exception as error:
            # Only a fork may need what the template cannot express.
            assert "cannot render this conversation" in str(error)
            return
        if following.how == "new":
            assert following.parent is None and following.reason
        else:
            assert following.parent == number
            known = prompt.ids + sample
            assert following.ids[: len(known)] == known
            assert len(following.ids) > len(known)
        prompt = following


@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(data=st.data())
def test_a_sample_as_the_template_writes_it_gives_the_template_s_own_next_prompt(family, data):
    made = renderer(family)
    # One call ends a reply of Llama and GPT-OSS. Llama's template drops text beside it, Gemma's
    # moves it.
    one, alone = family in ("llama-3", "gpt-oss"), family in ("llama-3", "gemma4")
    # XML formats and Gemma's write values in a way that some texts break.
    plain = st.integers(-99, 99) | words
    reply = data.draw(assistants(1 if one else 3, values if family in JSON_CALLS else plain))
    if alone and reply.tool_calls:
        reply.content = None
    tools = TOOLS if data.draw(st.booleans()) else []
    messages, new = data.draw(openings()), data.draw(answers(reply))
    if family == "gemma4" and new[0].role == "tool":  # the library has no bridge for both at once
        new = [message for message in new if message.role == "tool"]
    conversation = Conversation(made)
    prompt = conversation.prompt(messages, tools)
    whole = made.render([*messages, reply, *new], tools)
    assume(whole[: len(prompt.ids)] == prompt.ids)
    behind = whole[len(prompt.ids) :]
    end = next((i for i, id in enumerate(behind) if id in made.stop_token_ids), None)
    assume(end is not None)  # GPT-OSS writes another token than it samples behind a last answer
    conversation.record(prompt, behind[: end + 1], reply)
    following = conversation.prompt([*messages, reply, *new], tools)
    assert (following.how, following.reason) == (made.method, "")
    assert following.ids == whole


@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(data=st.data())
def test_parsing_never_raises(family, data):
    made = renderer(family)
    tok = tokenizer(family)
    marks = st.sampled_from(sorted(id for id, *_ in tok.added.values()))
    anything = st.integers(0, len(tok) + 50)
    sample = data.draw(st.lists(marks | anything, max_size=30))
    prompt = data.draw(st.lists(marks | anything, max_size=10))
    message = made.parse(prompt, sample, TOOLS)
    assert message.role == "assistant"
    assert json.dumps([message.text, message.reasoning_content]).isascii()
    for call in message.tool_calls:
        assert call.id and call.function.name
        call.function.arguments.encode()


@pytest.mark.parametrize("family", FAMILIES)
@quick
@given(data=st.data())
def test_text_that_looks_like_a_special_token_is_none(family, data):
    made = renderer(family)
    special = [t for t, (_, is_special, *_) in tokenizer(family).added.items() if is_special]
    hostile = data.draw(st.lists(st.sampled_from(special) | words, min_size=1).map(" ".join))

    def specials(system: str, question: str, result: str) -> list[int]:
        call = ToolCall("call1", FunctionCall("search", '{"x": "y"}'))
        messages = [
            Message("system", system),
            Message("user", question),
            Message("assistant", None, tool_calls=[call]),
            Message("tool", result, tool_call_id="call1"),
        ]
        known = {id for id, is_special, *_ in tokenizer(family).added.values() if is_special}
        return [id for id in made.render(messages, TOOLS) if id in known]

    assert specials(hostile, hostile, hostile) == specials("a", "b", "c")
