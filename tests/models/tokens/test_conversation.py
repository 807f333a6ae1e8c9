import json

import pytest
from tests.models.tokens.families import renderer

from athlos.errors import ConfigError, ModelError
from athlos.models.tokens import Conversation
from athlos.types import FunctionCall, Message, ToolCall

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
OPENING = [Message("system", "Be brief."), Message("user", "What is 2 + 2?")]
THOUGHT = "<think>\nadd them\n</think>\n\n"
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2,  "b": 2.0}}\n</tool_call>'


class Rollout:
    """A conversation, and a model that says what it is told."""

    def __init__(self, family="tiny", tools=TOOLS):
        self.renderer = renderer(family)
        self.conversation = Conversation(self.renderer)
        self.tools = tools

    def ask(self, messages, text=None):
        prompt = self.conversation.prompt(messages, self.tools)
        if text is None:
            return prompt
        ids = self.renderer._tokenizer.encode(text)
        message = self.renderer.parse(prompt.ids, ids)
        self.conversation.record(prompt, ids, message)
        return message


def answered(message, text="4"):
    return [Message("tool", text, tool_call_id=call.id) for call in message.tool_calls]


@pytest.fixture
def rollout():
    return Rollout()


def test_the_first_prompt_is_rendered(rollout):
    prompt = rollout.ask(OPENING)
    assert (prompt.how, prompt.parent, prompt.reason) == ("render", None, "")


@pytest.mark.parametrize(("family", "how"), [("tiny", "suffix"), ("qwen3", "bridge")])
def test_a_step_extends_the_last_call(family, how):
    rollout = Rollout(family)
    first = rollout.ask(OPENING)
    message = rollout.ask(OPENING, THOUGHT + CALL + "<|im_end|>")
    prompt = rollout.ask([*OPENING, message, *answered(message)])
    assert (prompt.how, prompt.parent) == (how, 0)
    known = first.ids + rollout.conversation.token_ids(0)
    assert prompt.ids[: len(known)] == known


def test_a_harness_may_drop_reasoning_and_write_arguments_anew(rollout):
    message = rollout.ask(OPENING, THOUGHT + CALL + "<|im_end|>")
    call = message.tool_calls[0]
    written = FunctionCall("add", json.dumps({"b": 2, "a": 2}, indent=2))
    repeated = Message("assistant", "", tool_calls=[ToolCall(call.id, written)])
    prompt = rollout.ask([*OPENING, repeated, *answered(message)])
    assert prompt.parent == 0
    assert "add them" in rollout.renderer.decode(prompt.ids)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"content": "Five."}, r"message 2 \(assistant\) differs .* in its content"),
        ({"reasoning_content": "guess"}, "reasoning of a message before message 3 was edited"),
        (
            {"tool_calls": [ToolCall("x", FunctionCall("add", '{"a": 2, "b": 2}'))]},
            "in its tool calls",
        ),
    ],
)
def test_an_edited_reply_begins_a_new_sequence(rollout, edit, reason):
    message = rollout.ask(OPENING, THOUGHT + "Four." + CALL + "<|im_end|>")
    fields = {
        "content": message.content,
        "reasoning_content": message.reasoning_content,
        "tool_calls": message.tool_calls,
    }
    edited = Message("assistant", **{**fields, **edit})
    prompt = rollout.ask([*OPENING, edited, *answered(edited)])
    assert (prompt.how, prompt.parent) == ("new", None)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(prompt.reason)


def test_reasons_name_the_first_difference(rollout):
    message = rollout.ask(OPENING, "Four.<|im_end|>")
    more = [message, Message("user", "Sure?")]
    other = [Message("system", "Be long."), *OPENING[1:]]
    assert "message 0 (system) differs" in rollout.ask([*other, *more]).reason
    assert "message 0 (user) differs" in rollout.ask([*OPENING[1:], *more]).reason
    assert "end before the reply" in rollout.ask(OPENING[:1]).reason
    assert "nothing follows" in rollout.ask([*OPENING, message]).reason
    inserted = [*OPENING, message, Message("assistant", "Five."), Message("user", "?")]
    assert "message 3 (assistant) was not sampled" in rollout.ask(inserted).reason
    rollout.tools = []
    assert "tools are not those" in rollout.ask([*OPENING, *more]).reason


def test_tokens_behind_an_end_token_begin_a_new_sequence():
    rollout = Rollout("qwen3")
    message = rollout.ask(OPENING, "Four.<|im_end|>and more")
    prompt = rollout.ask([*OPENING, message, Message("user", "?")])
    assert prompt.how == "new"
    assert "call 0 sampled tokens behind an end token, at " in prompt.reason


def test_the_same_messages_give_the_same_ids_again(rollout):
    message = rollout.ask(OPENING, CALL + "<|im_end|>")
    step = [*OPENING, message, *answered(message)]
    first = rollout.ask(step)
    rollout.ask(step, "Four.<|im_end|>")
    second = rollout.ask(step)
    assert (second.ids, second.parent, second.how) == (first.ids, 0, "suffix")
    assert rollout.ask(OPENING).how == "render"


def test_siblings_with_equal_texts_are_told_apart_by_their_reasoning(rollout):
    rollout.ask(OPENING, "<think>\none way\n</think>\n\nFour.<|im_end|>")
    first = rollout.conversation.prompt  # both replies read "Four."
    rollout.ask(OPENING, "<think>\nanother way\n</think>\n\nFour.<|im_end|>")
    said = [
        Message("assistant", "Four.", reasoning_content=text)
        for text in ("one way", "another way", None)
    ]
    parents = [first([*OPENING, m, Message("user", "?")], TOOLS).parent for m in said]
    assert parents == [0, 1, 1]


def test_the_longest_earlier_call_is_extended(rollout):
    messages = list(OPENING)
    for i in range(4):
        message = rollout.ask(messages, f"{i}.<|im_end|>")
        messages += [message, Message("user", "Go on.")]
    assert rollout.ask(messages).parent == 3
    branch = [*messages[:4], message, Message("user", "?")]
    assert rollout.ask(branch).how == "new"
    assert rollout.ask([*messages[:5], Message("user", "Another question.")]).parent == 1


def test_a_sub_agent_has_a_sequence_of_its_own(rollout):
    main = rollout.ask(OPENING, CALL + "<|im_end|>")
    task = [Message("system", "You search."), Message("user", "2 + 2")]
    found = rollout.ask(task, "4<|im_end|>")
    assert rollout.ask([*task, found, Message("user", "Sure?")]).parent == 1
    assert rollout.ask([*OPENING, main, *answered(main)]).parent == 0


def test_ids_are_kept_once(rollout):
    messages = list(OPENING)
    for _ in range(30):
        message = rollout.ask(messages, "Yes.<|im_end|>")
        messages += [message, Message("user", "Go on. " * 20)]
    nodes = rollout.conversation._nodes
    kept = sum(len(node.context) + len(node.sample) for node in nodes)
    assert len(nodes) == 30
    last = rollout.conversation.prompt_ids(29) + rollout.conversation.token_ids(29)
    assert kept == len(last)
    assert sum(len(node.reasonings) for node in nodes) == 0


def test_only_text_is_exact(rollout):
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    message = Message("user", [{"type": "text", "text": "Look"}, image])
    with pytest.raises(ConfigError, match=r"message 2 \(user\) has a 'image_url' part"):
        rollout.ask([*OPENING, message])
    parts = Message("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    assert "ab<|im_end|>" in rollout.renderer.decode(rollout.ask([*OPENING, parts]).ids)


def test_ids_that_are_none_are_refused(rollout):
    prompt = rollout.ask(OPENING)
    with pytest.raises(ModelError, match="token ids that are none"):
        rollout.conversation.record(prompt, [1, -1], Message("assistant", ""))
    assert len(rollout.conversation) == 0


class FakeRenderer:
    """Extends whatever it is asked to, by the token 4."""

    name, method, stop_token_ids = "fake", "bridge", [0]

    def __init__(self, start):
        self.start = start

    def render(self, messages, tools=()):
        return [1, 2, 3]

    def extend(self, prompt_ids, token_ids, before, new, tools=()):
        return [*self.start, *token_ids, 4]


def followed(renderer, *new):
    conversation, reply = Conversation(renderer), Message("assistant", "x")
    conversation.record(conversation.prompt(OPENING), [5, 0], reply)
    return conversation.prompt([*OPENING, reply, *new])


def test_a_renderer_that_loses_ids_is_not_believed():
    question = Message("user", "?")
    assert followed(FakeRenderer([1, 2, 3]), question).ids == [1, 2, 3, 5, 0, 4]
    prompt = followed(FakeRenderer([1, 2, 9]), question)
    assert (prompt.how, prompt.ids) == ("new", [1, 2, 3])
    assert "fake cannot extend call 0 by these messages: user" in prompt.reason


def test_a_renderer_is_not_asked_to_append_what_was_not_sampled():
    inserted = [Message("assistant", "y"), Message("user", "?")]
    assert followed(FakeRenderer([1, 2, 3]), *inserted).how == "new"
    assert followed(FakeRenderer([1, 2, 3])).how == "new"
