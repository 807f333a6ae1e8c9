"""OpenAI's chat completions, which the model speaks as well: passed on, less what capture added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from athlos.gateway.refusal import Refusal
from athlos.models.chat import Reply
from athlos.models.relay import Event

__all__ = ["Chat", "Wire"]

# What is between the braces stays as it is: it is neither decoded nor encoded again.
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_list = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_encode = msgspec.json.Encoder().encode

_CHOICE_IDS = ("token_ids", "response_token_ids", "prompt_token_ids")
_MESSAGE_IDS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")
_ON_MESSAGE = b"generation_token_ids"
_NULL = Raw(b"null")


class Wire(Protocol):
    """One call in the words of an API; made from its body.

    Attributes:
        api: Its name in the record.
        stream: Whether the reply is to be streamed.
        chat: The same as a chat request.
    """

    api: str
    stream: bool
    chat: dict[str, Any]

    def whole(self, reply: Reply, answer: bytes) -> bytes:
        """The body of a reply that is not streamed, from that of a chat completion."""
        ...

    def events(self, events: Sequence[Event]) -> bytes:
        """What to send for events of a streamed chat completion; may be nothing."""
        ...

    def end(self, reply: Reply) -> bytes:
        """What ends a stream."""
        ...

    def broken(self, refusal: Refusal) -> bytes:
        """What ends a stream that broke off."""
        ...

    def refused(self, refusal: Refusal) -> bytes:
        """The body of an error."""
        ...


class Chat:
    """A chat completion.

    Args:
        body: The request.
        captures: Whether replies have fields that capture asked for.

    Raises:
        Refusal: It has no messages.
    """

    api = "chat"

    def __init__(self, body: dict[str, Any], *, captures: bool) -> None:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refusal(400, "messages must be a list that is not empty")
        self.chat = body
        self.stream = body.get("stream") is True
        options = body.get("stream_options")
        if options is not None and not isinstance(options, dict):
            raise Refusal(400, "stream_options must be an object")
        self._usage = isinstance(options, dict) and options.get("include_usage") is True
        self._captures = captures
        self._logprobs = bool(body.get("logprobs"))
        self._ids = bool(body.get("return_token_ids"))
        self._prompt_ids = bool(body.get("return_prompt_token_ids")) or self._ids

    def whole(self, reply: Reply, answer: bytes) -> bytes:
        """See `Wire`."""
        return self._stripped(answer) if self._captures else answer

    def events(self, events: Sequence[Event]) -> bytes:
        """See `Wire`."""
        sent = []
        for data, chunk in events:
            if chunk.usage is not None and not chunk.choices and not self._usage:
                continue
            sent.append(b"data: ")
            sent.append(self._stripped(data) if self._captures else data)
            sent.append(b"\n\n")
        return b"".join(sent)

    def end(self, reply: Reply) -> bytes:
        """See `Wire`."""
        return b"data: [DONE]\n\n"

    def broken(self, refusal: Refusal) -> bytes:
        """See `Wire`."""
        return b"data: " + refusal.openai() + b"\n\n"

    def refused(self, refusal: Refusal) -> bytes:
        """See `Wire`."""
        return refusal.openai()

    def _stripped(self, data: bytes) -> bytes:
        """The reply, or an event of it, without what capture asked for and the harness did not."""
        value = _fields(data)
        if not self._prompt_ids:
            value.pop("prompt_token_ids", None)
        choices = _list(value["choices"]) if "choices" in value else []
        for choice in choices:
            if not self._logprobs and "logprobs" in choice:
                choice["logprobs"] = _NULL
            if not self._ids:
                for name in _CHOICE_IDS:
                    choice.pop(name, None)
            if _ON_MESSAGE in data:
                for name in ("message", "delta"):
                    if name in choice:
                        part = _fields(choice[name])
                        kept = {key: part[key] for key in part if key not in _MESSAGE_IDS}
                        choice[name] = Raw(_encode(kept))
        return _encode({**value, "choices": choices})
