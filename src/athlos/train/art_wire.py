"""Calls as ART's choices and exchanges: JSON, as OpenAI's SDK reads it. Needs no ART.

What the model said is taken from the recorded bodies if they were kept. Its token ids are those of
the record, in the fields that ART reads, wherever the server had put them.
"""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import msgspec

from athlos.types import NOTHING, Call, Message, Rollout, Sequence

__all__ = ["choice", "exchange", "history", "plain", "prompt_messages"]

_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

Wire = dict[str, Any]


def prompt_messages(rollout: Rollout, call: Call) -> list[Wire] | None:
    """The messages of a call's prompt; None if the record does not have them."""
    if call.prompt_messages:
        return plain(rollout.messages[: call.prompt_messages])
    request = _body(call.request)
    said = request.get("messages") if call.api == "chat" else None
    return said if isinstance(said, list) and said else None


def plain(messages: Many[Message]) -> list[Wire]:
    """Messages as they are on the wire."""
    made: list[Wire] = msgspec.to_builtins(list(messages))
    return made


def choice(rollout: Rollout, call: Call) -> Wire:
    """The call's reply as a `Choice`, with the ids `token_id:N` of what was sampled."""
    wire = _wire_choice(call)
    entries = (wire.get("logprobs") or {}).get("content") or []
    ids, logprobs = call.token_ids or [], call.logprobs or []
    known = [one.get("bytes") for one in entries] if len(entries) == len(ids) else [None] * len(ids)
    reason = call.finish_reason
    return {
        "index": 0,
        "finish_reason": reason if reason in _REASONS else "stop",
        "message": wire.get("message") or _message(rollout, call),
        "logprobs": {
            "content": [
                {"token": f"token_id:{one}", "logprob": value, "bytes": raw, "top_logprobs": []}
                for one, value, raw in zip(ids, logprobs, known, strict=True)
            ]
        },
        "token_ids": ids,
    }


def history(rollout: Rollout, sequence: Sequence) -> list[list[Wire]]:
    """The sequence as messages, in which what it trains is a choice; see `choice`.

    One list, if each prompt goes on with the messages before it. Where a harness rewrote them
    without changing a token, each call has a list of its own. Empty if the messages are unknown.
    """
    calls = [rollout.calls[span.call] for span in sequence.spans]
    prompts = [prompt_messages(rollout, call) for call in calls]
    known = [one for one in prompts if one is not None]
    if len(known) < len(prompts):
        return []
    said = [*known[-1], {}]  # the last place is that of the last reply
    places = [len(prompt) for prompt in known]
    goes_on = all(
        prompt == said[: len(prompt)] and said[len(prompt)].get("role", "assistant") == "assistant"
        for prompt in known
    )
    if not goes_on or len(set(places)) < len(places):
        return [[*prompt, choice(rollout, call)] for prompt, call in zip(known, calls, strict=True)]
    for place, call in zip(places, calls, strict=True):
        said[place] = choice(rollout, call)
    return [said]


def exchange(rollout: Rollout, call: Call) -> tuple[str, Wire]:
    """The call as an exchange, and ART's name of its protocol.

    It is one of chat completions, or of completions by token ids if its messages are unknown.
    """
    request = {k: v for k, v in _body(call.request).items() if k not in _PROMPTS}
    messages = prompt_messages(rollout, call)
    said = choice(rollout, call)
    times = {"start_time": call.started, "end_time": call.started + call.latency}
    head = {
        "id": str(_body(call.response).get("id") or f"{rollout.id}-{rollout.calls.index(call)}"),
        "created": int(call.started),
        "model": rollout.model,
        "usage": {
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
            "total_tokens": call.usage.prompt_tokens + call.usage.completion_tokens,
        },
    }
    request["model"] = rollout.model
    if messages is not None:
        response = {**head, "object": "chat.completion", "choices": [said],
                    "prompt_token_ids": call.prompt_token_ids}  # fmt: skip
        return "chat_completions", {
            "request": {**request, "messages": messages}, "response": response, **times
        }  # fmt: skip
    entries = said["logprobs"]["content"]
    text = {
        "index": 0,
        "text": said["message"].get("content") or "",
        "finish_reason": "length" if call.finish_reason == "length" else "stop",
        "token_ids": call.token_ids,
        "prompt_token_ids": call.prompt_token_ids,
        "logprobs": {
            "tokens": [one["token"] for one in entries],
            "token_logprobs": [one["logprob"] for one in entries],
        },
    }
    return "completions", {
        "request": {"model": rollout.model, "prompt": call.prompt_token_ids},
        "response": {**head, "object": "text_completion", "choices": [text]},
        **times,
    }


_PROMPTS = frozenset({"messages", "token_ids", "prompt", "input", "sampling_params"})


def _body(raw: msgspec.Raw) -> Wire:
    found = None if raw == NOTHING else msgspec.json.decode(raw)
    return found if isinstance(found, dict) else {}


def _wire_choice(call: Call) -> Wire:
    """The only choice of a recorded chat completion, or nothing."""
    choices = _body(call.response).get("choices")
    if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict):
        return choices[0] if isinstance(choices[0].get("message"), dict) else {}
    return {}


def _message(rollout: Rollout, call: Call) -> Wire:
    """What was said, from the conversation."""
    at = call.prompt_messages
    if at and at < len(rollout.messages) and rollout.messages[at].role == "assistant":
        return plain([rollout.messages[at]])[0]
    return {"role": "assistant", "content": ""}
