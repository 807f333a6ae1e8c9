"""The model client: chat completions over a transport, with deadlines and retries."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from athlos.errors import ConfigError, ModelError
from athlos.models.chat import Reply, decode_models, decode_reply, encode_request, status_error
from athlos.models.retry import Retry
from athlos.models.transport import Response, Transport, TransportError
from athlos.types import Message

__all__ = ["Deadlines", "Model"]


_LOCAL_MAX_TOKENS = 512
_GARBLED = 5  # tries until a server that answers something else is believed
_PATIENCE = 30.0  # seconds in which a busy server may answer the first question


class Deadlines(Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds.

    Attributes:
        connect: For a connection.
        first_byte: For the reply to begin. A server that does not stream begins when it is done.
        total: For one call, its repetitions and the waits between them included.
    """

    connect: float = 10.0
    first_byte: float = 900.0
    total: float = 1800.0


class Model:
    """A model behind an OpenAI-compatible server.

    Args:
        base_url: Of the server, up to and with `/v1`; `OPENAI_BASE_URL` by default.
        name: As the server calls it; None takes the only model that the server has.
        api_key_env: Name of the environment variable that holds the API key; without it
            `OPENAI_API_KEY` is used, if it is set. The key itself is never an argument, so it
            cannot end in a log or a record.
        sampling: Parameters of every call (`temperature`, `max_tokens`, `seed`, `stop`, ...),
            passed to the server as they are.
        connections: How many requests may be under way at once.

    Attributes:
        waiting: Calls that failed and wait to be repeated.
        trouble: What the last one that failed said.
        offers_tools: False if it is known that the model is not told of tools, so calls none.

    Raises:
        ConfigError: There is no usable base URL, or the variable is not set.
    """

    def __init__(
        self,
        base_url: str | None = None,
        name: str | None = None,
        *,
        api_key_env: str | None = None,
        sampling: Mapping[str, Any] | None = None,
        deadlines: Deadlines | None = None,
        retry: Retry | None = None,
        connections: int = 4096,
        transport: Transport | None = None,
    ) -> None:
        self.deadlines = deadlines or Deadlines()
        self.retry = retry or Retry()
        self.sampling: dict[str, Any] = dict(sampling or {})
        self.offers_tools = True
        self.waiting = 0
        self.trouble = ""
        self._name = name
        self._rng = random.Random()
        if transport is not None:
            self.base_url = base_url or "in-process"
            self._transport = transport
            return
        url = base_url or os.environ.get("OPENAI_BASE_URL")
        if not url:
            raise ConfigError(
                "no model server given",
                hint="Pass --base-url http://HOST:PORT/v1 (or set OPENAI_BASE_URL), or use the "
                "embedded model with --model local.",
            )
        from athlos.models.http import HttpTransport

        self.base_url = url.rstrip("/")
        self._transport = HttpTransport(
            self.base_url,
            api_key=_api_key(api_key_env),
            connect_timeout=self.deadlines.connect,
            connections=connections,
        )

    @classmethod
    def local(cls, reference: str = "local", **options: Any) -> Model:
        """The embedded model (`local`), or any GGUF file (`local:/path/to/file.gguf`).

        It runs on the CPU in this process, without a server. A call samples at most 512 tokens if
        `max_tokens` does not say otherwise: a model so small may never come to an end.

        Raises:
            ConfigError: The extra `local` is not installed, or there is no such file.
        """
        from athlos.models.local import LocalTransport, find_gguf

        gguf = find_gguf(reference)
        transport = LocalTransport(gguf)
        sampling = {"max_tokens": _LOCAL_MAX_TOKENS, **options.pop("sampling", {})}
        model = cls("in-process", gguf.stem, transport=transport, sampling=sampling, **options)
        model.offers_tools = transport.offers_tools
        return model

    @property
    def name(self) -> str:
        """What the server calls the model; "" until `connect` found out."""
        return self._name or ""

    async def connect(self) -> None:
        """Checks that the server runs, accepts the key and has the model.

        Raises:
            ConfigError: It does not; the message says what is wrong and what the server has.
        """
        response = await self._models()
        if response.status in (401, 403):
            raise ConfigError(
                f"{self.base_url} refused the API key (HTTP {response.status})",
                hint="--api-key-env names the environment variable that holds the key "
                "(OPENAI_API_KEY by default).",
            )
        if response.status != 200:
            raise ConfigError(
                f"{self.base_url}/models answered {status_error(response).message}",
                hint="Is --base-url the server's OpenAI base, usually ending in /v1?",
            )
        try:
            names = decode_models(response.body)
        except ModelError as error:
            raise ConfigError(f"{self.base_url} is no OpenAI server: {error.message}") from error
        if self._name is None and len(names) == 1:
            self._name = names[0]
        elif self._name not in names:
            asked = "no model named" if self._name is None else f"no model {self._name!r}"
            raise ConfigError(
                f"{asked} at {self.base_url}" if self._name else "which model? --model is missing",
                hint=f"It has: {', '.join(names) or 'none'}",
            )

    async def _models(self) -> Response:
        """The reply to GET /models; a server that is busy is asked again for a while."""
        last: ModelError | None = None
        tries = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while True:
                    tries += 1
                    try:
                        response = await self._send("GET", "/models", None)
                        if response.status == 200 and tries < _GARBLED:
                            decode_models(response.body)  # raises what is worth another try
                        last = None if response.status == 200 else status_error(response)
                        if last is None or not last.retryable:
                            return response
                    except ModelError as error:
                        last = error
                        if isinstance(error.__cause__, TransportError) and (
                            error.__cause__.kind == "connect"
                        ):
                            break
                    await asyncio.sleep(self.retry.wait(tries, last.retry_after, self._rng))
        raise ConfigError(
            f"no model server at {last.message if last else self.base_url}",
            hint="Is it running? --base-url names the server, for example "
            "http://127.0.0.1:8000/v1.",
        ) from last

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | msgspec.Raw = (),
        sampling: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Asks for one completion (or `n`).

        Args:
            messages: The conversation.
            tools: As on the wire, or already encoded.
            sampling: Parameters for this call; they win over the client's.

        Raises:
            ContextOverflow: The conversation does not fit into the model's context.
            ModelError: No usable reply before the deadline, or none that asking again could bring.
        """
        body = encode_request(
            self.name, messages, tools, {**self.sampling, **sampling} if sampling else self.sampling
        )
        started = time.monotonic()
        tries = 0
        last: ModelError | None = None
        try:
            async with asyncio.timeout(self.deadlines.total):
                while True:
                    tries += 1
                    try:
                        response = await self._send("POST", "/chat/completions", body)
                        if response.status != 200:
                            raise status_error(response)
                        reply = decode_reply(response.body)
                    except ModelError as error:
                        last = error
                        if not error.retryable or tries == self.retry.max_tries:
                            raise
                        await self._wait(tries, error)
                        continue
                    reply.latency = time.monotonic() - started
                    reply.tries = tries
                    return reply
        except TimeoutError:
            cause = f" (last error: {last.message})" if last else ""
            raise ModelError(
                f"no usable reply from {self.base_url} within {self.deadlines.total:g} s, "
                f"{tries} {'try' if tries == 1 else 'tries'}{cause}",
                status=last.status if last else None,
                retryable=True,
            ) from last

    async def _wait(self, tries: int, error: ModelError) -> None:
        self.trouble = error.message
        self.waiting += 1
        try:
            await asyncio.sleep(self.retry.wait(tries, error.retry_after, self._rng))
        finally:
            self.waiting -= 1

    async def _send(self, method: str, path: str, body: bytes | None) -> Response:
        try:
            async with asyncio.timeout(self.deadlines.first_byte):
                return await self._transport.send(method, path, body)
        except TransportError as error:
            raise ModelError(f"{self.base_url}: {error}", retryable=True) from error
        except TimeoutError as error:
            raise ModelError(
                f"{self.base_url}: no reply within {self.deadlines.first_byte:g} s",
                retryable=True,
            ) from error

    async def close(self) -> None:
        """Frees the connections. May be called twice."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Model({self.base_url!r}, {self.name!r})"


def _api_key(variable: str | None) -> str | None:
    key = os.environ.get(variable or "OPENAI_API_KEY", "").strip()
    if variable is not None and not key:
        raise ConfigError(f"the environment variable {variable}, for the API key, is not set")
    if not (key.isascii() and key.isprintable()):  # says where, never what
        name = variable or "OPENAI_API_KEY"
        raise ConfigError(f"the API key in the environment variable {name} is not plain text")
    return key or None
