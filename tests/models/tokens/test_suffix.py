"""The general method on templates that are kind to it and on templates that are not."""

import pytest
from tests.models.tokens.families import TINY, renderer, tokenizer
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from athlos.errors import ConfigError, ModelError
from athlos.models.tokens import Tokenizer, load_renderer
from athlos.models.tokens.suffix import _PLACEHOLDERS
from athlos.types import FunctionCall, Message, ToolCall

QUESTION = [Message("user", "hi")]
REPLY = Message("assistant", "hello")
NEXT = [Message("user", "again")]
LOOP = "{% for m in messages %}"
TURN = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHATML = f"{LOOP}{TURN}{{% endfor %}}{PROMPT}"


def templated(template, *, eos="<|im_end|>", **options):
    config = {"eos_token": eos} if eos else {}
    backend = tokenizer("qwen3").backend
    return load_renderer(Tokenizer(backend, config=config, chat_template=template), **options)


def extended(made, sample, *, new=NEXT, reply=REPLY, before=QUESTION, tools=()):
    """Text of what is put behind prompt and sample; None if nothing could be."""
    ids = made._tokenizer.encode(sample)
    prompt = made.render(before, tools)
    got = made.extend(prompt, ids, [*before, reply], new, tools)
    if got is None:
        return None
    assert got[: len(prompt) + len(ids)] == prompt + ids
    return made.decode(got[len(prompt) + len(ids) :])


@pytest.fixture
def chatml():
    return templated(CHATML)


AGAIN = "<|im_start|>user\nagain<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("sample", "behind"),
    [
        pytest.param("hello<|im_end|>", "\n" + AGAIN, id="the newline that is never sampled"),
        pytest.param("hello<|im_end|>\n", AGAIN, id="the newline, sampled"),
        pytest.param("hel", "<|im_end|>\n" + AGAIN, id="cut off by a limit"),
        pytest.param("", "<|im_end|>\n" + AGAIN, id="nothing sampled"),
        pytest.param("hello<|im_end|>more", None, id="text behind the end"),
        pytest.param("hello<|im_end|><|im_end|>", None, id="the end twice"),
    ],
)
def test_the_seam(chatml, sample, behind):
    assert extended(chatml, sample) == behind


def test_other_end_tokens():
    added = tokenizer("qwen3").added
    made = load_renderer(
        Tokenizer(
            tokenizer("qwen3").backend,
            config={"eos_token": "<|endoftext|>"},
            chat_template=CHATML,
            stop_token_ids=[added["<|im_start|>"][0]],
        )
    )
    assert len(made.stop_token_ids) == 3
    assert extended(made, "hello<|endoftext|>") == "\n" + AGAIN  # the end of all text ends a turn
    assert extended(made, "hello<|im_start|>") is None  # another stop token may mean anything


def test_the_end_of_a_turn_is_found_in_the_template():
    made = templated(CHATML, eos="<|endoftext|>")
    known = tokenizer("qwen3").added
    assert set(made.stop_token_ids) == {known["<|endoftext|>"][0], known["<|im_end|>"][0]}
    assert extended(made, "hello<|im_end|>") == "\n" + AGAIN


def test_consecutive_tool_results_share_a_turn():
    made = renderer("tiny")
    calls = [ToolCall(f"c{i}", FunctionCall("f", '{"x": "<|im_end|>"}')) for i in range(2)]
    behind = extended(
        made,
        "<think>\n\n</think>\n\n<|im_end|>",
        reply=Message("assistant", None, tool_calls=calls),
        new=[Message("tool", "one", tool_call_id="c0"), Message("tool", "two", tool_call_id="c1")],
    )
    assert behind == (
        "\n<|im_start|>user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n"
        "</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_user_may_follow_tools():
    behind = extended(
        renderer("tiny"),
        "x<|im_end|>",
        reply=Message("assistant", None, tool_calls=[ToolCall("c", FunctionCall("f", "not json"))]),
        new=[Message("tool", "one", tool_call_id="c"), *NEXT],
    )
    assert behind == (
        "\n<|im_start|>user\n<tool_response>\none\n</tool_response><|im_end|>\n" + AGAIN
    )


def test_reasoning_stays_where_the_template_would_drop_it():
    thought = Message("assistant", "hello", reasoning_content="hm")
    sample = "<think>\nhm\n</think>\n\nhello<|im_end|>"
    assert extended(renderer("tiny"), sample, reply=thought) == "\n" + AGAIN
    faithful = renderer("tiny", keep_reasoning=False)
    assert extended(faithful, sample, reply=thought) is None
    assert extended(faithful, "hello<|im_end|>") == "\n" + AGAIN
    call = Message(
        "assistant",
        "hello",
        reasoning_content="hm",
        tool_calls=[ToolCall("c", FunctionCall("f", "{}"))],
    )
    result = [Message("tool", "1", tool_call_id="c")]
    assert extended(faithful, sample, reply=call, new=result) is not None


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(
            f"{LOOP}{TURN}{{% endfor %}}{{{{ messages | string | length }}}}{PROMPT}",
            id="depends on the reply",
        ),
        pytest.param(
            f"{LOOP}{{% if m.role == 'user' or loop.last %}}{TURN}{{% endif %}}{{% endfor %}}"
            f"{PROMPT}",
            id="forgets earlier replies",
        ),
        pytest.param(
            f"{LOOP}{{{{ m.content }}}}{{% if m.role == 'user' %}}<|im_end|>{{% endif %}}"
            "{% endfor %}",
            id="does not end replies",
        ),
        pytest.param(
            f"{LOOP}{{% if loop.index > 2 %}}{{{{ raise_exception('two turns') }}}}{{% endif %}}"
            f"{TURN}{{% endfor %}}{PROMPT}",
            id="refuses a third message",
        ),
    ],
)
def test_what_cannot_be_proved_is_not_extended(template):
    assert extended(templated(template), "hello<|im_end|>") is None


def test_a_template_that_leaves_out_what_is_said_beside_a_call():
    calls = "{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}<|im_end|>\n"
    made = templated(
        f"{LOOP}{{% if m.tool_calls %}}<|im_start|>assistant\n{calls}{{% else %}}{TURN}"
        f"{{% endif %}}{{% endfor %}}{PROMPT}"
    )
    reply = Message("assistant", None, tool_calls=[ToolCall("c", FunctionCall("f", "{}"))])
    result = [Message("tool", "1", tool_call_id="c")]
    behind = extended(made, "{}<|im_end|>", reply=reply, new=result)
    assert behind == "\n<|im_start|>tool\n1<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_that_wants_parts_and_arguments_as_text():
    parts = TURN.replace("m.content", "m.content[0].text")
    text = "{% for c in m.tool_calls %}{{ 'call ' + c.function.arguments }}{% endfor %}"
    made = templated(f"{LOOP}{text}{parts}{{% endfor %}}{PROMPT}")
    reply = Message("assistant", "so", tool_calls=[ToolCall("c", FunctionCall("f", '{"a":1}'))])
    assert 'call {"a":1}<|im_start|>assistant\nso' in made.decode(made.render([*QUESTION, reply]))
    assert extended(made, "so<|im_end|>", reply=reply) == "\n" + AGAIN


def test_a_template_that_counts_turns_is_rendered_whole():
    numbered = TURN.replace("m.role", "m.role + ' ' + loop.index | string")
    made = templated(f"{LOOP}{numbered}{{% endfor %}}{PROMPT}")
    before = [*QUESTION, REPLY, *NEXT]
    assert "<|im_start|>user 5\n" in extended(made, "hello<|im_end|>", before=before)
    assert {step.history for step in made._steps.values()} == {"full"}


def test_a_history_with_the_placeholder_in_it_is_not_cut_there():
    numbered = TURN.replace("m.role", "m.role + ' ' + loop.index | string")
    made = templated(f"{LOOP}{numbered}{{% endfor %}}{PROMPT}")
    for question in ("hi", _PLACEHOLDERS[0]):
        before = [Message("user", question), REPLY, *NEXT]
        behind = extended(made, "hello<|im_end|>", before=before)
        right = "\n" + AGAIN.replace("user", "user 5")
        assert behind == (right if question == "hi" else None)


def test_an_end_token_that_is_not_split_off_everywhere_proves_nothing():
    backend = Backend.from_str(tokenizer("qwen3").backend.to_str())
    backend.add_special_tokens([AddedToken("<|stop|>", special=True, single_word=True)])
    template = CHATML.replace("<|im_end|>", "<|stop|>")
    config = {"eos_token": "<|stop|>"}
    made = load_renderer(Tokenizer(backend, config=config, chat_template=template))
    assert extended(made, "hello <|stop|>") is None


def test_a_template_that_demands_alternation_is_extended():
    strict = (
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}"
    )
    made = templated(f"{LOOP}{strict}{TURN}{{% endfor %}}{PROMPT}")
    assert extended(made, "hello<|im_end|>") == "\n" + AGAIN
    assert extended(made, "hello<|im_end|>", new=[*NEXT, *NEXT]) is None
    with pytest.raises(ModelError, match="roles must alternate"):
        made.render([*QUESTION, *QUESTION])


def test_later_steps_do_not_render_the_history(chatml, monkeypatch):
    extended(chatml, "hello<|im_end|>")
    seen = []
    original = chatml._tokenizer.render_chat

    def counting(messages, **options):
        seen.append(len(messages))
        return original(messages, **options)

    long = [m for _ in range(20) for m in (*QUESTION, REPLY)] + QUESTION
    prompt = chatml.render(long)
    monkeypatch.setattr(chatml._tokenizer, "render_chat", counting)
    assert chatml.extend(prompt, [], [*long, REPLY], NEXT) is not None
    assert seen == [3]


@pytest.mark.parametrize("text", _PLACEHOLDERS)
def test_text_that_equals_the_placeholder_does_no_harm(chatml, text):
    assert extended(chatml, "hello<|im_end|>") == "\n" + AGAIN
    behind = extended(chatml, "hello<|im_end|>", new=[Message("user", text)])
    assert behind is None or behind == "\n" + AGAIN.replace("again", text)


def test_an_end_token_in_new_text_is_text(chatml):
    behind = extended(chatml, "hello<|im_end|>", new=[Message("tool", "a<|im_end|>b")])
    assert behind == "\n<|im_start|>tool\na<|im_end|>b<|im_end|>\n<|im_start|>assistant\n"
    ids = chatml.extend([1], [2], [*QUESTION, REPLY], [Message("tool", "a<|im_end|>b")])
    assert ids.count(chatml.stop_token_ids[0]) == 2  # of the reply and of the tool's turn


def test_assistant_messages_are_not_appended(chatml):
    assert extended(chatml, "hello<|im_end|>", new=[REPLY]) is None
    assert extended(chatml, "hello<|im_end|>", new=[]) is None


def test_developers_are_system_where_the_template_does_not_know_them(chatml):
    assert chatml.decode(chatml.render([Message("developer", "x")])).startswith(
        "<|im_start|>system"
    )


def test_a_reply_whose_reasoning_the_prompt_opened():
    made = templated(CHATML.replace("assistant\n", "assistant\n<think>\n"))
    ids = made._tokenizer.encode("hm\n</think>\n\nhello<|im_end|>")
    message = made.parse(made.render(QUESTION), ids)
    assert (message.reasoning_content, message.content) == ("hm", "hello")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": None}, "no chat template"),
        ({"template": "{{ messages[0].content }}", "eos": None}, "No end-of-turn token"),
        ({"template": CHATML, "tool_parser": "telepathy"}, "Unknown tool_parser"),
        ({"template": CHATML, "family": "nonsense"}, "No chat format 'nonsense'"),
        ({"template": CHATML, "family": "llama-3"}, "Cannot use the chat format 'llama-3'"),
        (
            {"template": CHATML, "family": "qwen3", "template_kwargs": {"wrong": 1}},
            "Cannot use the chat format 'qwen3'",
        ),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        templated(options.pop("template"), **options)


def test_template_variables_reach_the_template():
    made = load_renderer(TINY, template_kwargs={"enable_thinking": False})
    assert made.decode(made.render(QUESTION)).endswith("<think>\n\n</think>\n\n")
    behind = extended(made, "hello<|im_end|>")
    assert behind.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
