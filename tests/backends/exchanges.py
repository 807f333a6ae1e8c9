"""The requests whose replies `record.py` keeps: name, meaning, path and body of each."""

import json
from collections.abc import Iterator
from typing import Any

MODEL = "tiny"  # vllm_server.NAME

Body = dict[str, Any]
Request = tuple[str, str, str, Body | str | None]

WEATHER: Body = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ANTHROPIC_WEATHER: Body = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": WEATHER["function"]["parameters"],
}
CALL = (
    "<tool_call>\n"
    r"\{\"name\": \"get_weather\", \"arguments\": \{\"city\": \"%s\"\}\}"
    "\n</tool_call>"
)
BROKEN_CALL = (
    "<tool_call>\n"
    r"\{\"name\": \"get_weather\", \"arguments\": \{\"city\": \}"
    "\n</tool_call>"
)
ONE_CALL = {"regex": CALL % "(SF|LA)"}
TWO_CALLS = {"regex": CALL % "SF" + "\n" + CALL % "LA"}
THOUGHT = {"regex": "<think>\n(yes|no)\n</think>\n\n(SF|LA)"}
THOUGHT_CALL = {"regex": "<think>\n(yes|no)\n</think>\n\n" + CALL % "(SF|LA)"}

# A regex allows <think> and its like in letters, too, which the parsers of streams miss.
# This makes the model take the one token wherever it may.
MARKS = {"logit_bias": {str(mark): 100 for mark in range(2042, 2048)}}

HELLO: list[Body] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say hi."},
]
ASK: list[Body] = [{"role": "user", "content": "What is the weather in SF?"}]
IDS = {"return_token_ids": True, "logprobs": True, "top_logprobs": 0}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def chat(messages: list[Body] = HELLO, **more: Any) -> Body:
    """The body of a chat request."""
    return {"model": MODEL, "messages": messages, "max_tokens": 8, "seed": 1, **more}


def call(messages: list[Body] = ASK, **more: Any) -> Body:
    """The body of a chat request whose reply must be what a regex allows."""
    return chat(messages, **{"tools": [WEATHER], "max_tokens": 128, **more})


def answered(kind: str, *names: str) -> list[Body]:
    """A conversation in which the tool calls of the cities were made and answered."""
    calls = [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": json.dumps({"city": name})},
        }
        for i, name in enumerate(names)
    ]
    replies = [
        {"role": "tool", "tool_call_id": f"call_{i}", "content": f"sunny in {name}"}
        for i, name in enumerate(names)
    ]
    thought = {"reasoning": "yes"} if kind == "reasoning" else {}
    said = {"role": "assistant", "content": None, "tool_calls": calls, **thought}
    return [*ASK, said, *replies]


def requests(ids: list[int]) -> Iterator[Request]:
    """What is sent to the plain server; `ids` is a prompt in tokens."""
    yield "models", "which models there are", "/v1/models", None
    yield "version", "which vLLM it is", "/version", None

    path = "/v1/chat/completions"
    yield "chat", "nothing asked for but a reply", path, chat()
    yield "chat_ids", "token ids of prompt and completion, logprobs", path, chat(**IDS)
    yield (
        "chat_top_logprobs",
        "the two likeliest tokens at each place, too",
        path,
        chat(**IDS | {"top_logprobs": 2}, temperature=0.5, top_p=0.9),
    )
    yield (
        "chat_token_id_logprobs",
        "tokens within logprobs are written token_id:N; ids only there",
        path,
        chat(logprobs=True, top_logprobs=0, return_tokens_as_token_ids=True),
    )
    yield "chat_n2", "two choices of one prompt", path, chat(**IDS, n=2, max_tokens=4)
    yield "chat_prompt_logprobs", "logprobs of the prompt", path, chat(**IDS, prompt_logprobs=0)
    yield "chat_stop", "ended by a stop string", path, chat(**IDS, stop=[" "], max_tokens=16)
    yield (
        "chat_eos",
        "ended by the end of turn, which is among the token ids",
        path,
        chat(**IDS, structured_outputs={"choice": ["SF", "LA"]}),
    )
    yield (
        "chat_utf8",
        "one sign of four tokens: those before the last decode to nothing",
        path,
        chat(**IDS, structured_outputs={"choice": ["\N{PARTY POPPER}", "\N{ROCKET}"]}),
    )
    yield (
        "chat_utf8_stream",
        "the same, streamed",
        path,
        chat(**STREAM, **IDS, structured_outputs={"choice": ["\N{PARTY POPPER}", "\N{ROCKET}"]}),
    )
    yield "chat_stream", "streamed", path, chat(**STREAM)
    yield "chat_stream_ids", "streamed, with token ids and logprobs", path, chat(**STREAM, **IDS)
    yield "chat_stream_n2", "two choices, streamed", path, chat(**STREAM, **IDS, n=2, max_tokens=4)
    yield (
        "tool_call",
        "a tool call, spelled otherwise than the template would",
        path,
        call(**IDS, structured_outputs=ONE_CALL),
    )
    yield (
        "tool_call_two",
        "two tool calls in one reply",
        path,
        call(**IDS, structured_outputs=TWO_CALLS),
    )
    yield (
        "tool_call_broken",
        "arguments that are no JSON: the server leaves the text as content",
        path,
        call(**IDS, structured_outputs={"regex": BROKEN_CALL}),
    )
    yield (
        "tool_call_cut",
        "a tool call that ran out of tokens",
        path,
        call(**IDS, structured_outputs=ONE_CALL, max_tokens=12),
    )
    yield (
        "tool_call_stream",
        "a tool call, streamed",
        path,
        call(**STREAM, **IDS, structured_outputs=ONE_CALL, **MARKS),
    )
    yield (
        "tool_call_two_stream",
        "two tool calls, streamed",
        path,
        call(**STREAM, return_token_ids=True, structured_outputs=TWO_CALLS, **MARKS),
    )
    yield (
        "tool_reply",
        "the turn after the replies of two tools",
        path,
        call(answered("plain", "SF", "LA"), **IDS, max_tokens=8),
    )
    render = "/v1/chat/completions/render"
    yield "render", "the chat template, applied by the server", render, chat()
    yield (
        "render_tools",
        "the same with tools and their replies",
        render,
        call(answered("plain", "SF", "LA"), max_tokens=8),
    )

    path = "/v1/completions"
    given = {"model": MODEL, "prompt": ids, "max_tokens": 8, "seed": 1}
    yield "completions", "token ids in, text out", path, given
    yield (
        "completions_ids",
        "token ids in and out, logprobs",
        path,
        {**given, "return_token_ids": True, "logprobs": 0},
    )
    yield (
        "completions_echo",
        "the prompt is part of the text and the logprobs",
        path,
        {**given, "echo": True, "return_token_ids": True, "logprobs": 0, "max_tokens": 2},
    )
    yield (
        "completions_prompt_logprobs",
        "logprobs of the prompt, apart",
        path,
        {**given, "prompt_logprobs": 0, "return_token_ids": True, "max_tokens": 2},
    )
    yield (
        "completions_text",
        "text in",
        path,
        {**given, "prompt": "import os", "return_token_ids": True, "logprobs": 1},
    )
    yield (
        "completions_stream_ids",
        "token ids in and out, streamed",
        path,
        {**given, **STREAM, "return_token_ids": True, "logprobs": 0},
    )

    path = "/inference/v1/generate"
    sampling: Body = {"max_tokens": 8, "seed": 1}
    yield "generate", "tokens in and out", path, {"token_ids": ids, "sampling_params": sampling}
    yield (
        "generate_logprobs",
        "with logprobs",
        path,
        {"token_ids": ids, "sampling_params": {**sampling, "logprobs": 0}},
    )
    yield (
        "generate_prompt_logprobs",
        "with logprobs of the prompt",
        path,
        {"token_ids": ids, "sampling_params": {**sampling, "logprobs": 0, "prompt_logprobs": 0}},
    )
    yield (
        "generate_n2",
        "two choices",
        path,
        {"token_ids": ids, "sampling_params": {**sampling, "n": 2, "max_tokens": 4}},
    )
    yield (
        "generate_stream",
        "streamed, with logprobs",
        path,
        {"token_ids": ids, "sampling_params": {**sampling, "logprobs": 0}, "stream": True},
    )

    path = "/tokenize"
    yield "tokenize", "messages to tokens", path, {"model": MODEL, "messages": HELLO}
    yield (
        "tokenize_tools",
        "messages with tools and their replies, and each token's text",
        path,
        {
            "model": MODEL,
            "messages": answered("plain", "SF", "LA"),
            "tools": [WEATHER],
            "return_token_strs": True,
        },
    )
    yield (
        "tokenize_closed",
        "messages, without the opening of the next turn",
        path,
        {
            "model": MODEL,
            "messages": [*HELLO, {"role": "assistant", "content": "hi"}],
            "add_generation_prompt": False,
        },
    )
    yield "tokenize_text", "text to tokens", path, {"model": MODEL, "prompt": "import os"}
    yield "detokenize", "tokens to text", "/detokenize", {"model": MODEL, "tokens": ids}

    path = "/v1/responses"
    asked = {"model": MODEL, "input": "Say hi.", "max_output_tokens": 8, "store": False}
    yield "responses", "the Responses API", path, {**asked, "seed": 1}
    yield (
        "responses_logprobs",
        "the Responses API with logprobs",
        path,
        {**asked, "include": ["message.output_text.logprobs"], "top_logprobs": 0},
    )
    yield (
        "responses_tool_call",
        "the Responses API: a tool call",
        path,
        {
            **asked,
            "max_output_tokens": 128,
            "tools": [{"type": "function", **WEATHER["function"]}],
            "structured_outputs": ONE_CALL,
        },
    )
    yield "responses_stream", "the Responses API, streamed", path, {**asked, "stream": True}

    path = "/v1/messages"
    said = [{"role": "user", "content": "Say hi."}]
    turn = {"model": MODEL, "messages": said, "max_tokens": 8}
    yield "messages", "Anthropic's Messages API", path, {**turn, "system": "Be brief."}
    yield "messages_stream", "Anthropic's Messages API, streamed", path, {**turn, "stream": True}
    yield (
        "messages_tool_result",
        "Anthropic's Messages API: the turn after a tool's reply",
        path,
        {
            **turn,
            "tools": [ANTHROPIC_WEATHER],
            "messages": [
                *said,
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "tool_use",
                            "id": "toolu_0",
                            "name": "get_weather",
                            "input": {"city": "SF"},
                        }
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_0", "content": "sunny"}
                    ],
                },
            ],
        },
    )
    yield (
        "messages_count_tokens",
        "Anthropic's count of a prompt's tokens",
        "/v1/messages/count_tokens",
        {"model": MODEL, "messages": said},
    )

    path = "/v1/chat/completions"
    long = [{"role": "user", "content": "0" * 3000}]
    yield "error_too_long", "a prompt longer than the context", path, chat(long)
    yield (
        "error_too_long_generate",
        "the same in tokens",
        "/inference/v1/generate",
        {"token_ids": [ids[0]] * 2100, "sampling_params": sampling},
    )
    yield "error_max_tokens", "more tokens asked for than fit", path, chat(max_tokens=4000)
    yield "error_model", "a model that is not there", path, chat() | {"model": "none"}
    yield (
        "error_bad_value",
        "a value of the wrong kind",
        path,
        chat() | {"messages": "none"},
    )
    yield "error_bad_json", "no JSON", path, '{"model": '
    yield (
        "error_token_id",
        "a token that is not in the vocabulary",
        "/inference/v1/generate",
        {
            "token_ids": [999999],
            "sampling_params": sampling,
        },
    )
    yield "error_route", "a path that is not there", "/v1/none", {}


def reasoning_requests() -> Iterator[Request]:
    """What is sent to the server that separates reasoning."""
    path = "/v1/chat/completions"
    thought = {"structured_outputs": THOUGHT, "max_tokens": 64, **MARKS}
    yield "reasoning", "reasoning and an answer", path, chat(ASK, **IDS, **thought)
    yield (
        "reasoning_stream",
        "reasoning and an answer, streamed",
        path,
        chat(ASK, **STREAM, **IDS, **thought),
    )
    yield (
        "reasoning_spelled_stream",
        "the marks in letters: the reasoning never ends",
        path,
        chat(ASK, **STREAM, **IDS, **thought | {"logit_bias": None}),
    )
    yield (
        "reasoning_tool_call",
        "reasoning and a tool call",
        path,
        call(**IDS, structured_outputs=THOUGHT_CALL, **MARKS),
    )
    yield (
        "reasoning_tool_call_stream",
        "reasoning and a tool call, streamed",
        path,
        call(**STREAM, **IDS, structured_outputs=THOUGHT_CALL, **MARKS),
    )
    yield (
        "reasoning_cut",
        "cut off while it thinks: no answer",
        path,
        chat(ASK, **IDS, **thought | {"max_tokens": 3}),
    )
    yield (
        "reasoning_off",
        "thinking switched off in the template",
        path,
        chat(ASK, **IDS, chat_template_kwargs={"enable_thinking": False}),
    )
    yield (
        "reasoning_next_turn",
        "the turn after a tool's reply: the reasoning is in the prompt",
        path,
        call(answered("reasoning", "SF"), **IDS, structured_outputs=THOUGHT, **MARKS),
    )
    yield (
        "reasoning_dropped",
        "the turn after another question: the reasoning is no longer in the prompt",
        path,
        call(
            [*answered("reasoning", "SF"), {"role": "user", "content": "And LA?"}],
            **IDS,
            structured_outputs=THOUGHT,
            **MARKS,
        ),
    )
    yield (
        "reasoning_messages",
        "Anthropic's Messages API: a block of thinking, cut off",
        "/v1/messages",
        {"model": MODEL, "messages": ASK, "max_tokens": 8},
    )
