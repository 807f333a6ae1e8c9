"""One rollout's calls as a tree of token ids, in which a prompt grows out of an earlier call.

A harness sends messages. Those that are an earlier call's messages and its reply, and then some,
are a step on from that call: its ids are kept and only the new messages are rendered. Anything else
(another system prompt, an edited or shortened history, other tools) begins a new sequence, and
`Prompt.reason` says at which message and how it differs.

Kept are the ids that each call added, 4 bytes each, and two digests per message: memory grows with
the tokens and messages, not with calls times tokens.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import msgspec

from athlos.errors import ModelError
from athlos.models.tokens.rendering import Renderer
from athlos.types import Message

__all__ = ["Conversation", "How", "Prompt"]

How = Literal["render", "bridge", "suffix", "new"]
Tools = Sequence[Mapping[str, Any]]

_encode = msgspec.json.Encoder(order="sorted").encode
_FIELDS = ("role", "content", "tool calls", "tool call id")


class _Likeness(NamedTuple):
    """What makes two messages the same; reasoning is compared apart, because it may be dropped."""

    role: str
    content: bytes
    calls: bytes
    call_id: str


class _Trail(NamedTuple):
    """A list of messages, seen as a path from the tools on."""

    digests: list[bytes]  # of the tools, and of each prefix of the messages
    likenesses: list[_Likeness]
    reasonings: list[str | None]  # of assistant messages; None elsewhere


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to send to the engine.

    Attributes:
        ids: The prompt.
        parent: Number of the call that it extends: `ids` begins with that call's prompt and sample.
        how: `bridge` or `suffix` if it extends an earlier call, by the renderer's method; `render`
            if there was nothing to extend; `new` if earlier calls were not extended.
        reason: For `new`, why.
    """

    ids: list[int]
    parent: int | None
    how: How
    reason: str = ""
    trail: _Trail = field(default=_Trail([], [], []), repr=False, compare=False)


@dataclass(slots=True)
class _Node:
    parent: int | None
    how: How
    reason: str
    context: array[int]  # of the prompt, what the parent's prompt and sample do not have
    sample: array[int]
    message: Message
    messages: int  # of the prompt
    reasonings: dict[int, str]  # of assistant messages since the parent's reply, by place


class Conversation:
    """The calls of one rollout, in the order they were recorded.

    Args:
        renderer: Of the model; shared by all conversations.
    """

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self._nodes: list[_Node] = []
        self._replies: dict[bytes, list[int]] = {}  # calls, by the digest of messages and reply
        self._asked: dict[bytes, int] = {}  # the last call with these messages as its prompt
        self._after: dict[bytes, _Likeness] = {}  # what came last behind each prefix

    def __len__(self) -> int:
        """How many calls were recorded."""
        return len(self._nodes)

    def prompt(self, messages: Sequence[Message], tools: Tools = ()) -> Prompt:
        """The prompt for a conversation, extended from the longest earlier call that it continues.

        Asking again with the same messages (a repeated call) gives the same ids.

        Raises:
            ConfigError: A message has a part that is not text.
            ModelError: The model's chat format cannot express the conversation.
        """
        trail = _trail(messages, tools)
        again = self._asked.get(trail.digests[-1])
        if again is not None and self._reasoning_kept(again, trail, reply=False):
            node = self._nodes[again]
            return Prompt(self.prompt_ids(again), node.parent, node.how, node.reason, trail)
        parent, reason = self._find(trail)
        if parent is not None:
            ids = self._extend(parent, messages, tools)
            if ids is not None:
                return Prompt(ids, parent, self.renderer.method, trail=trail)
            reason = self._refused(parent, messages)
        ids = self.renderer.render(messages, tools)
        return Prompt(ids, None, "new" if self._nodes else "render", reason, trail)

    def record(self, prompt: Prompt, token_ids: Sequence[int], message: Message) -> int:
        """Notes what was sampled for a prompt, and the message that it stood for.

        Args:
            prompt: As `prompt` returned it.
            token_ids: As the engine returned them.
            message: As the harness was told; later calls are recognised by it.

        Returns:
            The call's number, counted from 0.

        Raises:
            ModelError: The ids are none.
        """
        number, trail = len(self._nodes), prompt.trail
        known, start = 0, 0
        if prompt.parent is not None:
            parent = self._nodes[prompt.parent]
            known, start = self._length(prompt.parent), parent.messages + 1
        try:
            context, sample = array("I", prompt.ids[known:]), array("I", token_ids)
        except (OverflowError, TypeError) as error:
            raise ModelError(f"The engine returned token ids that are none: {error}") from error
        self._nodes.append(
            _Node(
                prompt.parent,
                prompt.how,
                prompt.reason,
                context,
                sample,
                message,
                len(trail.likenesses),
                {
                    i: text
                    for i, text in enumerate(trail.reasonings[start:], start)
                    if text is not None
                },
            )
        )
        reply = _likeness(message)
        for digest, likeness in zip(trail.digests, [*trail.likenesses, reply], strict=True):
            self._after[digest] = likeness
        self._asked[trail.digests[-1]] = number
        self._replies.setdefault(_next(trail.digests[-1], reply), []).append(number)
        return number

    def prompt_ids(self, call: int) -> list[int]:
        """The prompt of a recorded call."""
        path: list[_Node] = []
        at: int | None = call
        while at is not None:
            path.append(self._nodes[at])
            at = path[-1].parent
        ids = array("I")
        for node in reversed(path):
            ids += node.context
            ids += node.sample
        return ids[: len(ids) - len(path[0].sample)].tolist()

    def token_ids(self, call: int) -> list[int]:
        """What was sampled in a recorded call."""
        return self._nodes[call].sample.tolist()

    # -- which call a conversation continues

    def _find(self, trail: _Trail) -> tuple[int | None, str]:
        """The last call whose messages and reply are the longest beginning, or why none."""
        if not self._nodes:
            return None, ""
        for length in range(len(trail.likenesses), 0, -1):
            calls = self._replies.get(trail.digests[length])
            if calls is None:
                continue
            for call in reversed(calls):
                if self._reasoning_kept(call, trail):
                    return call, ""
            return None, f"the reasoning of a message before message {length} was edited"
        return None, self._difference(trail)

    def _reasoning_kept(self, call: int, trail: _Trail, *, reply: bool = True) -> bool:
        """Whether the reasoning up to a call, and in its reply, is as it was or was left out."""
        at: int | None = call
        while at is not None:
            node = self._nodes[at]
            said = dict(node.reasonings)
            if reply:
                said[node.messages] = _reasoning(node.message) or ""
            for place, text in said.items():
                now = trail.reasonings[place]
                if now and now != text:
                    return False
            at, reply = node.parent, True
        return True

    def _difference(self, trail: _Trail) -> str:
        if trail.digests[0] not in self._after:
            return "the tools are not those of any earlier call"
        for i, likeness in enumerate(trail.likenesses):
            earlier = self._after.get(trail.digests[i])
            if earlier is None:  # behind the last reply of a call that was not extended from
                break
            if trail.digests[i + 1] in self._after or earlier == likeness:
                continue
            differs = [
                name for name, a, b in zip(_FIELDS, earlier, likeness, strict=True) if a != b
            ]
            return (
                f"message {i} ({likeness.role}) differs from that of an earlier call in its "
                + " and ".join(differs)
            )
        return "the messages end before the reply of an earlier call"

    # -- extending

    def _extend(self, parent: int, messages: Sequence[Message], tools: Tools) -> list[int] | None:
        node = self._nodes[parent]
        prompt, sample = self.prompt_ids(parent), self.token_ids(parent)
        # As it was said, not as the harness repeats it: that may have lost the reasoning.
        before = [*messages[: node.messages], node.message]
        new = messages[node.messages + 1 :]
        if not new or any(message.role == "assistant" for message in new):
            return None
        ids = self.renderer.extend(prompt, sample, before, new, tools)
        if ids is None:
            return None
        known = prompt + sample
        return ids if ids[: len(known)] == known else None

    def _refused(self, parent: int, messages: Sequence[Message]) -> str:
        node = self._nodes[parent]
        new = messages[node.messages + 1 :]
        if not new:
            return f"nothing follows the reply of call {parent}"
        for i, message in enumerate(new, node.messages + 1):
            if message.role == "assistant":
                return f"message {i} (assistant) was not sampled in this conversation"
        ends = set(self.renderer.stop_token_ids)
        inner = [i for i, id in enumerate(node.sample) if id in ends and i + 1 < len(node.sample)]
        if inner:
            return f"call {parent} sampled tokens behind an end token, at {inner[0]}"
        roles = ", ".join(message.role for message in new)
        return (
            f"the chat format {self.renderer.name} cannot extend call {parent} by these messages: "
            f"{roles}"
        )

    def _length(self, call: int) -> int:
        """Tokens of a call's prompt and sample."""
        total, at = 0, call
        while True:
            node = self._nodes[at]
            total += len(node.context) + len(node.sample)
            if node.parent is None:
                return total
            at = node.parent


def _trail(messages: Sequence[Message], tools: Tools) -> _Trail:
    likenesses = [_likeness(message) for message in messages]
    digests = [blake2b(_encode(list(tools)), digest_size=16).digest()]
    for likeness in likenesses:
        digests.append(_next(digests[-1], likeness))
    return _Trail(digests, likenesses, [_reasoning(message) for message in messages])


def _next(digest: bytes, likeness: _Likeness) -> bytes:
    return blake2b(digest + _encode(likeness), digest_size=16).digest()


def _likeness(message: Message) -> _Likeness:
    assistant = message.role == "assistant"
    text = message.text.strip() if assistant else message.text
    calls = [
        (call.id, call.function.name, _value(call.function.arguments))
        for call in message.tool_calls
    ]
    return _Likeness(
        message.role,
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(),
        blake2b(_encode(calls), digest_size=16).digest() if calls else b"",
        (message.tool_call_id or "") if message.role == "tool" else "",
    )


def _reasoning(message: Message) -> str | None:
    """Of an assistant message, "" if it has none; None for others."""
    if message.role != "assistant":
        return None
    return (message.reasoning_content or "").strip()


def _value(arguments: str) -> Any:
    """Arguments as a JSON value, so that spaces and the order of keys do not matter."""
    try:
        return _plain(msgspec.json.decode(arguments or "{}"))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return arguments.strip().encode("utf-8", "surrogatepass").hex()


def _plain(value: Any) -> Any:
    """Whole floats as integers, as JavaScript writes them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
