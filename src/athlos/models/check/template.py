"""A try of the chat template: whether a conversation's prompt begins with what came before it."""

from __future__ import annotations

from typing import Any

from athlos.models.check.calls import ASK, TOOLS
from athlos.models.check.capability import Result, capability, no, partly, unknown, yes
from athlos.models.check.target import NoAnswer, Refused, Render, Target, Unusable, dig
from athlos.models.check.tokens import Ids, find_ids

__all__ = ["prefix_stability"]

_FAULTS = (Refused, NoAnswer, Unusable)
_ASKED: dict[str, Any] = {"role": "user", "content": "Tell me something about the sea."}
_NEXT: dict[str, Any] = {"role": "user", "content": "Go on."}
_REASON = "The user asks about the sea."

Case = tuple[bool | None, str]  # stable, broken or not shown; in words


@capability(
    "prefix stability",
    unlocks="one training sequence for a whole conversation in capture mode; else it forks",
    switch_on={"": "nothing at the server; exact mode does not depend on it"},
    needs=("chat", "tokenize"),
    after=("token ids", "tool calls", "stop token in ids"),
)
async def prefix_stability(target: Target) -> Result:
    """Prompt k and its reply against prompt k + 1, in the four ways in which they come apart."""
    render = target.notes.render
    if render is None:
        return unknown("no endpoint renders a conversation")
    cases = {
        "tool calls": _tool_call,
        "reasoning": _reasoning,
        "end of turn": _end_of_turn,
        "text": _text,
    }
    results: dict[str, Case] = {}
    for name, case in cases.items():
        try:
            results[name] = await case(target, render)
        except _FAULTS as error:
            results[name] = None, str(error)
    data = {name: {"stable": stable, "detail": text} for name, (stable, text) in results.items()}
    said = "; ".join(f"{name}: {text}" for name, (_, text) in results.items())
    shown = [stable for stable, _ in results.values() if stable is not None]
    if not shown:
        return unknown(said, **data)
    if all(shown):
        return yes(said, **data)
    return partly(said, **data) if any(shown) else no(said, **data)


def _differs(before: list[int], after: list[int]) -> int | None:
    """Where `after` stops beginning with `before`; None if it never does."""
    for position, token in enumerate(before):
        if position >= len(after) or after[position] != token:
            return position
    return None


def _replayed(ids: Ids, prompt: list[int], later: list[int]) -> Case:
    """Whether a sampled reply is found again in the next prompt."""
    at = _differs(prompt + ids.sampled, later)
    if at is None:
        return True, "the sampled ids are kept"
    if at < len(prompt):
        return False, f"the earlier prompt itself changes, at token {at} of {len(prompt)}"
    return False, f"the reply comes back as other tokens from its token {at - len(prompt)} on"


async def _tool_call(target: Target, render: Render) -> Case:
    def turn(arguments: str) -> list[dict[str, Any]]:
        function = {"name": "get_weather", "arguments": arguments}
        call = {"id": "call_1", "type": "function", "function": function}
        reply = {"role": "assistant", "content": "", "tool_calls": [call]}
        return [*ASK, reply, {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}]

    prompt = await render(ASK, TOOLS)
    tight = await render(turn('{"city":"Paris"}'), TOOLS)
    loose = await render(turn('{ "city" :  "Paris" }'), TOOLS)
    if _differs(prompt, tight) is not None:
        return False, "the prompt before a call changes once it was made"
    if tight == loose and tight == await render(turn('{"city":"Rome"}'), TOOLS):
        return False, "calls are not rendered at all"
    if tight == loose:
        spacing = "arguments are written anew, so their spacing is lost"
    else:
        spacing = "arguments are kept as they are"
    found = find_ids(target.notes.tool_reply)
    if not found:
        return tight != loose, spacing
    message = dig(target.notes.tool_reply, "choices", 0, "message")
    names = ("role", "content", "reasoning", "reasoning_content", "tool_calls")
    kept = {name: message[name] for name in names if message.get(name) is not None}
    calls = dig(message, "tool_calls")
    results = [
        {"role": "tool", "tool_call_id": dig(call, "id"), "content": "sunny"} for call in calls
    ]
    later = await render([*ASK, kept, *results], TOOLS)
    stable, text = _replayed(found[0], found[0].prompt or prompt, later)
    return stable and tight != loose, f"{text}; {spacing}"


async def _reasoning(target: Target, render: Render) -> Case:
    def turn(**message: str) -> list[dict[str, Any]]:
        return [_ASKED, {"role": "assistant", **message}]

    plain = await render(turn(content="It is salty."), generation=False)
    apart = turn(content="It is salty.", reasoning=_REASON, reasoning_content=_REASON)
    shown = await render(apart, generation=False)
    if shown != plain:
        kept = _differs(shown, await render([*apart, _NEXT])) is None
        return kept, "kept" if kept else "dropped once a user turn follows"
    inline = turn(content=f"<think>\n{_REASON}\n</think>\n\nIt is salty.")
    shown = await render(inline, generation=False)
    if shown == plain:
        return False, "never rendered, not even when it is in the content"
    if _differs(shown, await render([*inline, _NEXT])) is None:
        return True, "the field is not rendered; in the content it is kept"
    return False, "dropped once a user turn follows"


async def _end_of_turn(target: Target, render: Render) -> Case:
    told = [_ASKED, {"role": "assistant", "content": "It is salty."}]
    prompt = await render([_ASKED])
    full = await render(told, generation=False)
    later = await render([*told, _NEXT])
    at = _differs(prompt, full)
    if at is not None:
        return False, f"history has not the generation prompt, from token {at} of {len(prompt)} on"
    if _differs(full, later) is not None:
        return False, "the reply comes back as other tokens once a user turn follows"
    end = target.notes.end_id
    if end is None or end not in full[len(prompt) :]:
        return True, "kept"
    behind = full[::-1].index(end)
    if not behind:
        return True, "nothing behind the end token"
    return True, f"{behind} unsampled token{'s' * (behind != 1)} behind the end token"


async def _text(target: Target, render: Render) -> Case:
    if target.notes.ids_request is None:
        return None, "no token ids to compare with"
    reply = await target.chat([_ASKED], **target.notes.ids_request, max_tokens=24)
    found = find_ids(reply)
    content = dig(reply, "choices", 0, "message", "content")
    if not found or not isinstance(content, str) or not content:
        return None, "no reply in plain text"
    prompt = found[0].prompt or await render([_ASKED])
    later = await render([_ASKED, {"role": "assistant", "content": content}, _NEXT])
    return _replayed(found[0], prompt, later)
