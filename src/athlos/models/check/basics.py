"""Tries of what a chat server does for everybody: answer, stream, sample, stop, hold a context."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from athlos.errors import ContextOverflow
from athlos.models.check.capability import Result, capability, no, partly, unknown, yes
from athlos.models.check.target import (
    HELLO,
    NoAnswer,
    Refused,
    Target,
    Unusable,
    dig,
    text_of,
)

__all__ = [
    "chat",
    "context_length",
    "models",
    "seed",
    "several",
    "stop_strings",
    "stream_usage",
    "streaming",
    "structured",
]

COMMON = [" ", "e", "a", "o"]  # no text of a few words is without all of them
_TELL: list[dict[str, Any]] = [{"role": "user", "content": "Tell me something about the sea."}]
_FAR_TOO_MANY = 10_000_000
_SHORTEST = 256  # tokens; a smaller number in an error is none of a context
_LONGEST = 32_768  # tokens of a prompt that is sent only to be refused


@capability(
    "models",
    unlocks="the model's name is known and checked before a run",
    switch_on={"nemo-rl": "not there; name the model with --model"},
    required=True,
    needs=(),
)
async def models(target: Target) -> Result:
    """GET /models; that it lists the model was seen when the check began."""
    reply = await target.get("/models")
    data = reply.get("data")
    if not isinstance(data, list):
        raise Unusable("the reply has no list of models in data")
    names = [str(dig(entry, "id")) for entry in data]
    if target.model not in names:
        return no(f"the list has not {target.model!r}")
    target.notes.entry = next(e for e in data if dig(e, "id") == target.model)
    return yes(f"{len(names)} model{'s' * (len(names) != 1)}", names=names)


@capability(
    "chat",
    unlocks="everything: one chat completion is one call of an attempt",
    required=True,
    needs=(),
)
async def chat(target: Target) -> Result:
    """POST /chat/completions."""
    reply = target.notes.reply = await target.chat()
    if not target.kind and "vllm" in str(reply.get("system_fingerprint")):
        target.kind = "vllm"
    tokens = [dig(reply, "usage", f"{kind}_tokens") for kind in ("prompt", "completion")]
    if not all(isinstance(count, int) for count in tokens):
        return partly("the reply has no usage: tokens are not counted")
    return yes(f"{tokens[0]} prompt tokens, {tokens[1]} sampled", prompt_tokens=tokens[0])


@capability("streaming", unlocks="agents that stream, through the gateway")
async def streaming(target: Target) -> Result:
    """The answer as events."""
    events = await target.stream()
    deltas = [e for e in events if _says(dig(e, "choices", 0, "delta"))]
    if not deltas:
        return no("no event carries text")
    ended = any(dig(e, "choices", 0, "finish_reason") for e in events)
    detail = f"{len(deltas)} events with text"
    return yes(detail) if ended else partly(f"{detail}, none with a finish_reason")


def _says(delta: Any) -> bool:
    return any(dig(delta, name) for name in ("content", "reasoning_content", "reasoning"))


@capability(
    "stream usage",
    unlocks="token counts of streamed calls, for budgets and figures",
    needs=("chat", "streaming"),
)
async def stream_usage(target: Target) -> Result:
    """The counts at the end of a stream, with `stream_options.include_usage`."""
    events = await target.stream(stream_options={"include_usage": True})
    for event in reversed(events):
        count = dig(event, "usage", "completion_tokens")
        if isinstance(count, int):
            return yes(f"{count} tokens in the last event")
    return no("no event has usage")


@capability("n > 1", unlocks="several completions of a prompt in one request")
async def several(target: Target) -> Result:
    """Two choices."""
    reply = await target.chat(n=2)
    count = len(reply["choices"])
    return yes("2 choices") if count == 2 else no(f"n=2 gave {count} choice{'s' * (count != 1)}")


@capability("seed", unlocks="calls that can be repeated")
async def seed(target: Target) -> Result:
    """The same seed twice, then two others."""
    first, again, *others = [
        text_of(await target.chat(_TELL, seed=number, max_tokens=12)) for number in (7, 7, 8, 9)
    ]
    if first != again:
        return no("one seed gave two texts")
    if all(text == first for text in others):
        return unknown("three seeds gave one text, so the sampling may not be random")
    return yes("one seed gives one text, others give others")


@capability("stop strings", unlocks="environments that end a turn at a mark")
async def stop_strings(target: Target) -> Result:
    """Stops at letters that any answer has."""
    reply = await target.chat(_TELL, stop=COMMON, max_tokens=16)
    said, reason = text_of(reply), dig(reply, "choices", 0, "finish_reason")
    if any(mark in said for mark in COMMON):
        return no("the answer goes on behind them")
    if reason != "stop":
        return unknown(f"the answer ended before one came ({reason})")
    target.notes.stops = True
    return yes("the answer ends before the first of them")


_KIND = {"type": "string", "enum": ["zebra7"]}
_SCHEMAS = (
    {
        "type": "object",
        "properties": {"kind": _KIND},
        "required": ["kind"],
        "additionalProperties": False,
    },
    _KIND,  # where a weak model does not begin with blanks until its tokens are spent
)


@capability(
    "structured output",
    unlocks="answers that follow a JSON schema",
    switch_on={
        "vllm": "with a reasoning parser: --structured-outputs-config "
        """'{"enable_in_reasoning": true}'""",
        "sglang": "--grammar-backend xgrammar",
    },
)
async def structured(target: Target) -> Result:
    """A schema that allows one word only, which the prompt does not name."""
    reply: dict[str, Any] = {}
    for schema in _SCHEMAS:
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        reply = await target.chat(
            [{"role": "user", "content": "Which animal? Answer with JSON."}],
            response_format=wanted,
            max_tokens=32,
        )
        content = dig(reply, "choices", 0, "message", "content")
        if _obeys(content):
            return yes("json_schema is obeyed")
        if _obeys(text_of(reply)):
            return yes("json_schema is obeyed, within the reasoning too")
        if content and content.strip()[:1] not in ("", "{", '"'):
            return no("json_schema is ignored: the answer is free text")
    if not dig(reply, "choices", 0, "message", "content") and text_of(reply):
        return unknown("the model never got past its reasoning, where no schema held")
    return unknown("the tokens were spent before an answer came")


def _obeys(content: Any) -> bool:
    if not isinstance(content, str):
        return False
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return "zebra7" in (value, dig(value, "kind"))


@capability(
    "context length",
    unlocks="a prompt that is too long ends the attempt as truncated, not as failed",
    switch_on={
        "vllm": "--max-model-len N",
        "sglang": "--context-length N",
        "llamacpp": "--ctx-size N",
    },
    after=("models", "stop strings"),
)
async def context_length(target: Target) -> Result:
    """What the list of models says, then a prompt that is one token too long."""
    declared = _declared(target.notes.entry)
    length, source = (declared, "from /models") if declared else await _asked(target)
    if not length:
        return no("nothing says it")
    if length > _LONGEST:
        return yes(f"{length:,} tokens {source}; no longer prompt was tried", tokens=length)
    long = [{"role": "user", "content": " x" * (length + 16)}]
    try:
        reply = await target.chat(long, max_tokens=1)
    except Refused as refused:
        if isinstance(refused.error, ContextOverflow):
            return yes(f"{length:,} tokens {source}; a longer prompt is refused", tokens=length)
        return partly(
            f"{length:,} tokens {source}; a longer prompt gives an error that does not say so: "
            f"{refused}",
            tokens=length,
        )
    count = dig(reply, "usage", "prompt_tokens")
    said = f"{length:,} tokens {source}; a longer prompt was taken (counted as {count})"
    return partly(said, tokens=length)


def _declared(entry: dict[str, Any]) -> int | None:
    """vLLM, SGLang and the embedded model; llama.cpp."""
    for path in (("max_model_len",), ("context_length",), ("meta", "n_ctx")):
        found = dig(entry, *path)
        if isinstance(found, int) and found > 0:
            return found
    return None


async def _asked(target: Target) -> tuple[int, str]:
    """From vLLM's tokenizer, llama.cpp's settings, or an error about far too many tokens."""
    ways: tuple[tuple[str, dict[str, Any] | None, tuple[str, ...]], ...] = (
        ("//tokenize", {"model": target.model, "messages": HELLO}, ("max_model_len",)),
        ("//props", None, ("default_generation_settings", "n_ctx")),
    )
    for path, body, where in ways:
        try:
            reply = await (target.post(path, body, light=True) if body else target.get(path))
        except (Refused, NoAnswer, Unusable):
            continue
        found = dig(reply, *where)
        if isinstance(found, int) and found > 0:
            return found, f"from {path[1:]}"
    if not target.notes.stops:  # a server that cuts the number down would not end
        return 0, ""
    try:
        await target.chat(_TELL, max_tokens=_FAR_TOO_MANY, stop=COMMON)
    except Refused as refused:
        numbers = [int(n) for n in re.findall(r"\d+", str(refused)) if int(n) != _FAR_TOO_MANY]
        return max((n for n in numbers if n >= _SHORTEST), default=0), "from an error"
    return 0, ""
