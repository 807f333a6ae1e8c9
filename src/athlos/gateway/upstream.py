"""One call of a harness, as a chat completion: sent, recorded, and answered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from athlos.errors import AthlosError, ConfigError, ModelError
from athlos.gateway.lease import Lease, Pending
from athlos.gateway.refusal import Refusal
from athlos.gateway.threads import read_messages
from athlos.models.chat import Reply, decode_reply
from athlos.models.relay import Event, Relay, Sink
from athlos.models.stream import Chunk, split
from athlos.models.token_modes import Capture
from athlos.timeouts import time_limit

if TYPE_CHECKING:
    from athlos.models.client import Model

__all__ = ["Upstream"]

_LIMITS = frozenset({"max_tokens", "max_completion_tokens"})
_SILENT = frozenset({"sglang", "llamacpp"})
"""Servers that do not name every sampled token in a stream, but in a whole reply."""

_encode = msgspec.json.Encoder().encode
_chunk = msgspec.json.Decoder(Chunk)

# Of a chat request; what else a harness sends means nothing to an engine that takes token ids.
_SAMPLING = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop",
     "seed", "presence_penalty", "frequency_penalty", "repetition_penalty", "min_tokens",
     "logit_bias", "stop_token_ids", "ignore_eos", "structured_outputs", "response_format", "n",
     "tool_choice", "chat_template_kwargs"}
)  # fmt: skip


class Upstream:
    """Sends the calls of all harnesses to one model."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def exact(self) -> bool:
        """Whether calls are sent as token ids."""
        tokens = self.model.tokens
        return tokens is not None and not isinstance(tokens, Capture)

    @property
    def captures(self) -> bool:
        """Whether replies have fields that no harness asked for."""
        return isinstance(self.model.tokens, Capture)

    async def complete(
        self, lease: Lease, pending: Pending, body: dict[str, Any], sink: Sink | None
    ) -> tuple[Reply, bytes]:
        """Answers a call, and records it.

        Args:
            lease: Whose it is.
            pending: The call.
            body: A chat request.
            sink: Gets the events of a streamed reply.

        Raises:
            AthlosError: There is no answer; the call is recorded.
            Refusal: The time of the rollout is up.
        """
        sampling = self._sampling(body, lease.pin)
        ask = self._exact if self.exact else self._chat
        try:
            left = lease.left()
            limit = time_limit(None if left is None else max(left, 0.001))
            try:
                with limit:
                    reply, answer = await ask(lease, pending, body, sampling, sink)
            except TimeoutError:
                if not limit.expired:
                    raise
                lease.fail(pending, None)
                raise Refusal(504, "the time of this rollout is up", "rollout_deadline") from None
        except AthlosError as error:
            lease.fail(pending, error)
            raise
        except BaseException:
            lease.fail(pending, None)
            raise
        lease.answer(pending, body.get("messages"), reply, answer)
        return reply, answer

    def _sampling(self, body: Mapping[str, Any], pin: Mapping[str, Any]) -> dict[str, Any]:
        """The body but for its messages, with the defaults of the model and what is pinned."""
        defaults = self.model.sampling
        if not _LIMITS.isdisjoint(body):
            defaults = {key: value for key, value in defaults.items() if key not in _LIMITS}
        merged = {**defaults, **body}
        if not _LIMITS.isdisjoint(pin):
            merged = {key: value for key, value in merged.items() if key not in _LIMITS}
        merged.update(pin, model=self.model.name)
        merged.pop("messages", None)
        merged.pop("stream", None)
        return merged

    async def _chat(
        self,
        lease: Lease,
        pending: Pending,
        body: dict[str, Any],
        sampling: dict[str, Any],
        sink: Sink | None,
    ) -> tuple[Reply, bytes]:
        tokens = self.model.tokens
        decode: Callable[[bytes], Reply] = decode_reply
        request = {**sampling, "messages": body.get("messages")}
        if isinstance(tokens, Capture):
            decode = tokens.read
            request = _asking(request, tokens)
        session = lease.session(pending.lineage)
        if sink is None:
            request.pop("stream_options", None)
            answer = b""

            def read(found: bytes) -> Reply:
                nonlocal answer
                answer = found
                return decode(found)

            reply = await self.model.ask(
                session, "/chat/completions", _encode(request), read, sampling
            )
        else:
            whole = self.captures and self.model.server.kind in _SILENT
            relay = pending.relay = Relay(request, sink, decode, whole=whole)
            reply = await self.model.ask(
                session, "/chat/completions", b"", relay.read, sampling, relay.exchange
            )
            answer = relay.body
        if isinstance(tokens, Capture) and reply.prompt_token_ids is None:
            await self._find_prompt(tokens, lease, body, sampling, reply)
        return reply, answer

    async def _find_prompt(
        self,
        tokens: Capture,
        lease: Lease,
        body: Mapping[str, Any],
        sampling: Mapping[str, Any],
        reply: Reply,
    ) -> None:
        """Asks for the prompt's ids; without them the call is recorded, but not trained on."""
        tools = body.get("tools") or ()
        try:
            await tokens.complete(self.model, body["messages"], tools, sampling, reply)
        except ModelError as error:
            lease.warn(error.message)

    async def _exact(
        self,
        lease: Lease,
        pending: Pending,
        body: dict[str, Any],
        sampling: dict[str, Any],
        sink: Sink | None,
    ) -> tuple[Reply, bytes]:
        tokens = self.model.tokens
        assert tokens is not None
        messages = read_messages(body.get("messages"))
        if messages is None:
            raise ConfigError("exact mode cannot send these messages: they are not OpenAI's")
        allowed = {
            key: value
            for key, value in sampling.items()
            if value is not None
            and (key in _SAMPLING or key in lease.pin or key in self.model.sampling)
        }
        session = lease.session(pending.lineage)
        reply = await tokens.chat(self.model, session, messages, body.get("tools") or (), allowed)
        answer = _completion(reply)
        if sink is not None:
            pieces = [_encode(piece) for piece in split(msgspec.json.decode(answer))]
            await sink([Event(piece, _chunk.decode(piece)) for piece in pieces])
        return reply, answer


def _asking(request: dict[str, Any], tokens: Capture) -> dict[str, Any]:
    """The request with what asks for token ids, so that what the harness asked for still comes."""
    asked = tokens.request(request)
    if request.get("logprobs"):
        most = request.get("top_logprobs")
        if isinstance(most, int):
            asked["top_logprobs"] = max(most, asked.get("top_logprobs") or 0)
        if not request.get("return_tokens_as_token_ids"):  # it would change what tokens are called
            asked.pop("return_tokens_as_token_ids", None)
    return asked


def _completion(reply: Reply) -> bytes:
    """A reply that was no chat completion, as one."""
    usage = reply.usage
    total = usage.prompt_tokens + usage.completion_tokens
    return _encode(
        {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": reply.model,
            "choices": [
                {
                    "index": index,
                    "message": {"content": None, **msgspec.to_builtins(choice.message)},
                    "logprobs": None,
                    "finish_reason": choice.finish_reason,
                }
                for index, choice in enumerate(reply.choices)
            ],
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": total,
            },
        }
    )
