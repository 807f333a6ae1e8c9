"""Tries of what makes a reply training data: token ids and log-probabilities."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from athlos.models.check.capability import Result, capability, no, partly, unknown, yes
from athlos.models.check.target import HELLO, Refused, Target, dig, text_of

__all__ = ["Ids", "find_ids", "logprob_mode", "logprobs", "logprobs_of", "stop_ids", "token_ids"]

_TITLES = {
    "vllm": "as vLLM sends them",
    "sglang": "as SGLang sends them",
    "nemo-rl": "as NeMo RL sends them",
    "token_id strings": "as token_id: strings",
    "llamacpp": "as llama.cpp sends them",
}
_SURE = 1e-3  # of a log-probability: 0 but for rounding
_SAME = 0.02
# Leaves only the likeliest token, in two ways; OpenAI's own servers know the first only.
_NARROW: dict[str, Any] = {"top_p": 1e-6, "top_k": 1}


class Ids(NamedTuple):
    """Token ids in a reply, and the dialect that they are in."""

    dialect: str
    prompt: list[int] | None
    sampled: list[int]


def _numbers(value: Any) -> list[int] | None:
    good = isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)
    return value if good else None


def find_ids(reply: Any, choice: int = 0) -> list[Ids]:
    """The sampled ids of a choice in each dialect that the reply has."""
    base = dig(reply, "choices", choice)
    message = dig(base, "message")
    entries = dig(base, "logprobs", "content")
    entries = entries if isinstance(entries, list) else []
    named = [str(dig(entry, "token")) for entry in entries]
    strings = None
    if named and all(n.startswith("token_id:") and n[9:].isdecimal() for n in named):
        strings = [int(n[9:]) for n in named]
    found = [
        (
            "vllm",
            dig(reply, "prompt_token_ids") or dig(base, "prompt_token_ids"),
            dig(base, "token_ids"),
        ),
        ("sglang", dig(base, "prompt_token_ids"), dig(base, "response_token_ids")),
        ("nemo-rl", dig(message, "prompt_token_ids"), dig(message, "generation_token_ids")),
        ("token_id strings", None, strings),
        ("llamacpp", None, [dig(entry, "id") for entry in entries]),
    ]
    return [
        Ids(dialect, _numbers(prompt), ids)
        for dialect, prompt, sampled in found
        if (ids := _numbers(sampled))
    ]


def logprobs_of(reply: Any, choice: int = 0) -> list[float]:
    """The log-probabilities of the sampled tokens, wherever they are; empty if there are none."""
    base = dig(reply, "choices", choice)
    values = dig(base, "message", "generation_log_probs")
    if not isinstance(values, list):
        entries = dig(base, "logprobs", "content")
        values = [dig(entry, "logprob") for entry in entries] if isinstance(entries, list) else []
    good = all(isinstance(v, int | float) and math.isfinite(v) for v in values)
    return [float(v) for v in values] if good else []


@capability(
    "log-probabilities",
    unlocks="importance weights and drift figures; off-policy corrections",
)
async def logprobs(target: Target) -> Result:
    """One of each sampled token."""
    for top in (0, 1):
        reply = await target.chat(logprobs=True, top_logprobs=top)
        values = logprobs_of(reply)
        if not values:
            continue
        target.notes.top_logprobs = top
        count = dig(reply, "usage", "completion_tokens")
        detail = f"one for each of {len(values)} tokens"
        if top:
            detail += "; only with top_logprobs of at least 1"
        if any(value > _SURE for value in values):
            return partly("some are above 0")
        ended = dig(reply, "choices", 0, "finish_reason") == "stop"
        if isinstance(count, int) and len(values) < count - ended:
            return partly(f"{len(values)} of them for {count} tokens")
        return yes(detail, top_logprobs=top)
    return no("none came back")


@capability(
    "log-probability mode",
    unlocks="training at any temperature and top-p; raw ones are right at 1 and 1 only",
    switch_on={
        "vllm": "--logprobs-mode processed_logprobs",
        "sglang": "leave SGLANG_RETURN_ORIGINAL_LOGPROB unset; train with top_p 1",
        "llamacpp": "nothing; train at temperature 1 and top_p 1",
        "local": "nothing; it is no model to train",
        "nemo-rl": "nothing; it takes only the sampling that training is configured with",
    },
    needs=("chat", "log-probabilities"),
)
async def logprob_mode(target: Target) -> Result:
    """Leaves one token to choose from: processed, its log-probability is 0, whatever it was."""
    ask = {"logprobs": True, "top_logprobs": target.notes.top_logprobs, "max_tokens": 6}
    prompt = [{"role": "user", "content": "Write some random words."}]
    free = logprobs_of(await target.chat(prompt, **ask))
    limits = dict(_NARROW)
    try:
        narrow = await target.chat(prompt, **ask, **limits)
    except Refused:
        del limits["top_k"]
        try:
            narrow = await target.chat(prompt, **ask, **limits)
        except Refused as refused:
            return unknown(f"the server takes no other sampling: {refused}")
    try:
        hot = await target.chat(prompt, **ask, **limits, temperature=2.0)
    except Refused as refused:
        return unknown(f"the server takes no other temperature: {refused}")
    cold, warm = logprobs_of(narrow), logprobs_of(hot)
    if not (free and cold and warm):
        return unknown("a reply had no log-probabilities")
    if all(abs(value) < _SURE for value in cold + warm):
        if all(abs(value) < _SURE for value in free):
            return unknown("the model is certain of each token")
        return yes("processed: with one token to choose from they are 0", mode="processed")
    first = [dig(r, "choices", 0, "logprobs", "content", 0, "token") for r in (narrow, hot)]
    if first[0] != first[1]:
        return unknown("top_p and top_k do not make the server take the likeliest token")
    if abs(cold[0] - warm[0]) < _SAME:
        return partly("raw: temperature and top-p leave them as they are", mode="raw")
    return partly("after temperature, before top-p and top-k", mode="temperature")


@capability(
    "token ids",
    unlocks="training data that is exactly what was sampled",
    switch_on={
        "vllm": "a release from 0.10.2 on (return_token_ids)",
        "sglang": "a newer release (return_token_ids, return_prompt_token_ids)",
        "llamacpp": "nothing for prompt ids in chat; use /apply-template and /completion",
        "nemo-rl": "policy.generation.vllm_cfg.expose_http_server: true",
    },
    after=("log-probabilities",),
)
async def token_ids(target: Target) -> Result:
    """Ids of the prompt and of the sampled tokens, in any dialect."""
    scores = {"logprobs": True, "top_logprobs": target.notes.top_logprobs}
    ways: list[dict[str, Any]] = [
        {**scores, "return_token_ids": True, "return_prompt_token_ids": True},
        {**scores, "return_token_ids": True},
        {**scores, "return_tokens_as_token_ids": True},
    ]
    refused: Refused | None = None
    best: tuple[list[Ids], dict[str, Any], dict[str, Any]] | None = None
    for way in ways:
        try:
            reply = await target.chat(HELLO, **way)
        except Refused as error:
            refused = error
            continue
        found = find_ids(reply)
        if found and (best is None or (found[0].prompt and not best[0][0].prompt)):
            best = (found, way, reply)
        if best and best[0][0].prompt:
            break
    if best is None:
        return no(str(refused) if refused else "no reply has any")
    found, target.notes.ids_request, reply = best
    ids = found[0]
    target.notes.prompt_ids = ids.prompt
    if not target.kind and ids.dialect in ("nemo-rl", "sglang", "llamacpp"):
        target.kind = ids.dialect
    data = {"dialects": [each.dialect for each in found], "prompt": ids.prompt is not None}
    differ = next((other for other in found if other.sampled != ids.sampled), None)
    if differ is not None:
        return partly(f"the ids in {ids.dialect} and in {differ.dialect} places differ", **data)
    values = logprobs_of(reply)
    if values and len(values) != len(ids.sampled):
        return partly(f"{len(ids.sampled)} ids, {len(values)} log-probabilities", **data)
    if ids.prompt is None:
        return partly(f"of the sampled tokens only ({_TITLES[ids.dialect]})", **data)
    return yes(f"of prompt and sampled tokens ({_TITLES[ids.dialect]})", **data)


@capability(
    "stop token in ids",
    unlocks="a sequence that has the end of a turn, as the model sampled it",
    needs=("chat", "token ids"),
)
async def stop_ids(target: Target) -> Result:
    """An answer that ends by itself, then one that is made to end at its first token."""
    ask = target.notes.ids_request or {}
    reply = await target.chat(
        [{"role": "user", "content": "Answer with one word: yes"}], **ask, max_tokens=24
    )
    found = find_ids(reply)
    count = dig(reply, "usage", "completion_tokens")
    if found and dig(reply, "choices", 0, "finish_reason") == "stop" and isinstance(count, int):
        sampled = found[0].sampled
        last = dig(reply, "choices", 0, "logprobs", "content", -1, "token")
        visible = isinstance(last, str) and last and text_of(reply).endswith(last)
        if len(sampled) == count and not visible:
            target.notes.end_id = sampled[-1]
            return yes(f"included: the answer ended with token {sampled[-1]}", end_id=sampled[-1])
        if len(sampled) == count - 1:
            return no("left out: one token was counted that has no id")
    try:
        first = find_ids(await target.chat(**ask, **_NARROW))
        if not first:
            return unknown("a reply had no ids")
        end = first[0].sampled[0]
        reply = await target.chat(**ask, **_NARROW, stop_token_ids=[end])
    except Refused as refused:
        return unknown(f"no answer ended by itself, nor could be made to: {refused}")
    if dig(reply, "choices", 0, "finish_reason") != "stop":
        return unknown("no answer ended by itself, and stop_token_ids is ignored")
    found = find_ids(reply)
    if found and found[0].sampled[-1] == end:
        return yes("included (seen with stop_token_ids)")
    return no("left out (seen with stop_token_ids)")
