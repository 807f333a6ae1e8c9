"""An engine in this process as a backend: a Python callable, which verl, Tinker and others give."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from athlos.errors import AthlosError, ModelError
from athlos.models.engines import Completion
from athlos.models.transport import Response, TransportError

__all__ = ["EngineTransport", "Generate"]

Generate = Callable[[list[int], dict[str, Any]], Awaitable[Completion]]
"""Samples after a prompt: gets its ids, shape (prompt,), and parameters as vLLM names them
(`max_tokens`, `temperature`, `stop_token_ids` ...)."""

_HEADERS: Mapping[str, str] = {"content-type": "application/json"}


class _Request(msgspec.Struct):
    token_ids: list[int]
    sampling_params: dict[str, Any]


class EngineTransport:
    """Answers the requests of exact mode by a function.

    What the function raises is the backend's failure, and is tried again like a server's. An
    `AthlosError` is passed on as it is.

    Args:
        generate: The engine.
        name: Of its model.
        context: Tokens that fit into a prompt and its completion together; None if unknown.
    """

    def __init__(self, generate: Generate, name: str, context: int | None) -> None:
        self._generate = generate
        self._name = name
        self._context = context
        self._closed = False

    async def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Answers `GET /models` and vLLM's `POST /inference/v1/generate`."""
        if self._closed:
            raise TransportError("connect", "the engine is closed")
        if (method, path) == ("GET", "/models"):
            entry = {"id": self._name, "owned_by": "in-process", "max_model_len": self._context}
            return Response(200, _HEADERS, msgspec.json.encode({"data": [entry]}))
        if path != "//inference/v1/generate":
            return Response(404, _HEADERS, b'{"error": {"message": "an engine takes token ids"}}')
        request = msgspec.json.decode(body or b"", type=_Request)
        try:
            made: Any = self._generate(request.token_ids, request.sampling_params)
            if inspect.isawaitable(made):
                made = await made
        except AthlosError:
            raise
        except (Exception, SystemExit) as error:  # somebody else's code may raise anything
            message = f"the engine raised {type(error).__name__}: {error}"
            raise ModelError(message, retryable=True) from error
        if not isinstance(made, Completion):
            raise ModelError(
                f"the engine returned {type(made).__name__}; it must return a Completion"
            )
        choice = {
            "token_ids": made.token_ids,
            "finish_reason": made.finish_reason,
            "logprobs": {"content": [{"logprob": value} for value in made.logprobs]},
            "weight_versions": made.versions,
        }
        return Response(200, _HEADERS, msgspec.json.encode({"choices": [choice]}))

    async def close(self) -> None:
        """Takes no more requests. May be called twice."""
        self._closed = True
