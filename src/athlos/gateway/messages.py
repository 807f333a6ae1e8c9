"""Anthropic's messages API in front of a chat model.

Source: Anthropic's API reference: the order of a stream's events, and the blocks of a message.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from athlos.gateway.lease import Lease
from athlos.gateway.messages_request import to_chat
from athlos.gateway.refusal import Refusal
from athlos.gateway.sse import event
from athlos.models.chat import Reply
from athlos.models.relay import Event
from athlos.types import Message

__all__ = ["Messages"]

_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_encode = msgspec.json.Encoder(order="deterministic").encode


class Messages:
    """A call of the messages API; see `Wire`.

    Args:
        body: The request.
        lease: Knows how the model wrote the arguments of earlier tool calls.

    Raises:
        Refusal: It is no request of that API.
    """

    api = "messages"

    def __init__(self, body: dict[str, Any], lease: Lease, model: str) -> None:
        self.chat = to_chat(body, lease.written)
        self.stream: bool = self.chat["stream"]
        self._lease = lease
        self._model = model
        self._id = f"msg_{secrets.token_hex(12)}"
        self._begun = False
        self._block = -1  # number of the open block, or of the last one
        self._kind: str | int = ""  # of the open block: a tool call is the number that it has

    def whole(self, reply: Reply, answer: bytes) -> bytes:
        """See `Wire`."""
        message = reply.message
        content: list[dict[str, Any]] = []
        if message.reasoning_content:
            thought = message.reasoning_content
            content.append({"type": "thinking", "thinking": thought, "signature": ""})
        if message.text:
            content.append({"type": "text", "text": message.text})
        for call in message.tool_calls:
            given = self._lease.wrote(call)
            name = call.function.name
            content.append({"type": "tool_use", "id": call.id, "name": name, "input": given})
        usage = self._usage(reply.usage.prompt_tokens, reply.usage.completion_tokens)
        return _encode(self._message(content, _reason(reply.finish_reason, message), usage))

    def events(self, events: Sequence[Event]) -> bytes:
        """See `Wire`."""
        sent = []
        for _, chunk in events:
            if not self._begun:
                self._begun = True
                usage = self._usage(len(chunk.prompt_token_ids or ()), 0)
                message = self._message([], None, usage)
                sent.append(event({"type": "message_start", "message": message}))
            for piece in chunk.choices or ():
                delta = piece.delta
                if thought := delta.reasoning_content or delta.reasoning:
                    self._open(sent, "thinking", {"thinking": "", "signature": ""})
                    self._add(sent, {"type": "thinking_delta", "thinking": thought})
                if delta.content:
                    self._open(sent, "text", {"text": ""})
                    self._add(sent, {"type": "text_delta", "text": delta.content})
                for part in delta.tool_calls or ():
                    number = part.index or 0
                    if self._kind != number:
                        call_id = part.id or f"call_{number}"
                        head = {"id": call_id, "name": part.function.name or "", "input": {}}
                        self._open(sent, "tool_use", head, number)
                    if text := part.function.arguments:
                        self._add(sent, {"type": "input_json_delta", "partial_json": text})
        return b"".join(sent)

    def end(self, reply: Reply) -> bytes:
        """See `Wire`."""
        for call in reply.message.tool_calls:
            self._lease.wrote(call)
        sent: list[bytes] = []
        self._close(sent)
        reason = _reason(reply.finish_reason, reply.message)
        usage = self._usage(reply.usage.prompt_tokens, reply.usage.completion_tokens)
        delta = {"stop_reason": reason, "stop_sequence": None}
        sent.append(event({"type": "message_delta", "delta": delta, "usage": usage}))
        sent.append(event({"type": "message_stop"}))
        return b"".join(sent)

    def broken(self, refusal: Refusal) -> bytes:
        """See `Wire`."""
        return b"event: error\ndata: " + refusal.anthropic() + b"\n\n"

    def refused(self, refusal: Refusal) -> bytes:
        """See `Wire`."""
        return refusal.anthropic()

    def _open(
        self, sent: list[bytes], kind: str, head: dict[str, Any], number: int | None = None
    ) -> None:
        wanted: str | int = kind if number is None else number
        if self._kind == wanted:
            return
        self._close(sent)
        self._kind = wanted
        self._block += 1
        block = {"type": kind, **head}
        start = {"type": "content_block_start", "index": self._block, "content_block": block}
        sent.append(event(start))

    def _add(self, sent: list[bytes], delta: dict[str, Any]) -> None:
        sent.append(event({"type": "content_block_delta", "index": self._block, "delta": delta}))

    def _close(self, sent: list[bytes]) -> None:
        if self._kind != "":
            sent.append(event({"type": "content_block_stop", "index": self._block}))
            self._kind = ""

    def _message(
        self, content: list[dict[str, Any]], reason: str | None, usage: dict[str, int]
    ) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage,
        }

    def _usage(self, prompt: int, completion: int) -> dict[str, int]:
        return {
            "input_tokens": prompt,
            "output_tokens": completion,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        }


def _reason(finish: str, message: Message) -> str:
    if finish == "stop" and message.tool_calls:  # some servers do not tell them apart
        return "tool_use"
    return _REASONS.get(finish, "end_turn")
