"""OpenAI's chat completions, which the model speaks as well: passed on, less what capture added."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct

from athlos.gateway.refusal import Refusal
from athlos.models.chat import Reply
from athlos.models.relay import Event

__all__ = ["Chat", "Wire"]

_NULL = Raw(b"null")
_LOGPROBS = re.compile(rb'"logprobs"\s*:\s*')
_IDS = re.compile(rb'token_ids"\s*:\s*\[[^\[\]]*\]')
_NEMO_RL = re.compile(rb'generation_log_probs"\s*:\s*\[[^\[\]]*\]')


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
        self._ids = bool(body.get("return_token_ids") or body.get("return_prompt_token_ids"))

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
        """The reply, or an event of it, without what capture asked for and the harness did not.

        It is cut out of the bytes: within text, quotation marks are escaped, so what looks like a
        key is one.
        """
        if not self._logprobs:
            for choice in _read(data).choices or ():
                if choice.logprobs and choice.logprobs != _NULL:
                    data = _without(data, bytes(choice.logprobs))
        if not self._ids and b'token_ids"' in data:
            data = _IDS.sub(b'token_ids":null', data)
            data = _NEMO_RL.sub(b'generation_log_probs":null', data)
        return data


def _without(data: bytes, logprobs: bytes) -> bytes:
    """The reply with null in place of the log-probabilities of a choice."""
    for key in _LOGPROBS.finditer(data):
        start = key.end()
        if data.startswith(logprobs, start):
            return data[:start] + b"null" + data[start + len(logprobs) :]
    return data


class _Choice(Struct):
    logprobs: Raw = Raw()


class _Completion(Struct):
    choices: list[_Choice] | None = None


_read = msgspec.json.Decoder(_Completion).decode
