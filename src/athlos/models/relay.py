"""A request whose reply is passed on while it comes, and put together for the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from athlos.errors import ModelError
from athlos.models.chat import Reply, decode_reply, status_error
from athlos.models.stream import Assembler, Chunk, split
from athlos.models.transport import Response, Transport, TransportError
from athlos.timeouts import time_limit

__all__ = ["Event", "Feed", "Relay", "Sink", "StreamingTransport"]

Feed = Callable[[bytes], Awaitable[None]]

_chunk = msgspec.json.Decoder(Chunk)
_encode = msgspec.json.Encoder().encode
_RECALLED = 409  # nobody sent it; a status below 500 blames no server


class Event(NamedTuple):
    """One chunk of a completion: as it was sent, and what it says."""

    data: bytes
    chunk: Chunk


Sink = Callable[[list[Event]], Awaitable[None]]
"""Takes the events that arrived together, in their order."""


class StreamingTransport(Transport, Protocol):
    """A transport that can also hand over a reply while it comes."""

    async def stream(self, method: str, path: str, body: bytes, feed: Feed) -> Response:
        """Sends one request and hands the body of a 200 to `feed` as it arrives.

        Returns:
            Of a 200 an empty body, after `feed` had all of it; else the whole reply.

        Raises:
            TransportError: There was no complete reply. What `feed` raises passes.
        """
        ...


class Relay:
    """An `Exchange` that streams one completion; for a single call of `Model.ask`.

    Until the first event was passed on, whatever fails may be tried again. After that nothing may:
    who listens has had a part of the reply. A transport that cannot stream, and a server that does
    not, answer whole, and the reply is split into a few events.

    Args:
        request: The body, without `stream`.
        sink: Is called with each batch of events; what it raises ends the request.
        decode: Reads the reply, once it is complete.
        path: Of the endpoint.
        whole: Whether to ask for the whole reply at once even where it could be streamed.

    Attributes:
        begun: Whether something was passed on.
        body: The complete reply, once it is there.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        sink: Sink,
        decode: Callable[[bytes], Reply] = decode_reply,
        path: str = "/chat/completions",
        *,
        whole: bool = False,
    ) -> None:
        self.begun = False
        self.body = b""
        self._request = request
        self._sink = sink
        self._decode = decode
        self._path = path
        self._at_once = whole
        self._assembler = Assembler()
        self._rest = b""
        self._whole: bytearray | None = None
        self._limit = time_limit(None)

    async def exchange(
        self, transport: Transport, first_byte_seconds: float, total_seconds: float
    ) -> Response:
        """Sends the request; see `athlos.models.client.Exchange`.

        Raises:
            TransportError, TimeoutError: It failed before anything was passed on.
            ModelError: It failed after that.
        """
        if self.begun:
            raise ModelError(
                "the reply was recalled by a pause after a part of it had been passed on",
                status=_RECALLED,
            )
        self._assembler, self._rest, self._whole = Assembler(), b"", None
        self._limit = time_limit(first_byte_seconds)
        try:
            with time_limit(total_seconds), self._limit:
                return await self._send(transport)
        except (TransportError, TimeoutError) as error:
            if not self.begun:
                raise
            reason = str(error) or f"it was not complete after {total_seconds:.3g} s"
            raise ModelError(f"the stream of the reply broke off: {reason}") from error
        except ModelError as error:
            error.retryable = error.retryable and not self.begun
            raise

    def read(self, body: bytes) -> Reply:
        """Decodes the complete reply, for `Model.ask`."""
        try:
            return self._decode(body)
        except ModelError as error:
            error.retryable = error.retryable and not self.begun
            raise

    def partial(self) -> Reply | None:
        """What came of a reply that broke off; None if that is nothing."""
        self._assembler.cut()
        self.body = self._assembler.encode()
        for decode in (self._decode, decode_reply):
            try:
                return decode(self.body)
            except ModelError:  # it is a part only, so what it says may not fit together
                continue
        return None

    async def _send(self, transport: Transport) -> Response:
        stream = None if self._at_once else getattr(transport, "stream", None)
        body = dict(self._request)
        options = body.pop("stream_options", None) or {}
        if stream is None:
            response = await transport.send("POST", self._path, _encode(body))
        else:
            body |= {"stream": True, "stream_options": {**options, "include_usage": True}}
            response = await stream("POST", self._path, _encode(body), self._feed)
        if response.status != 200:
            return response
        if stream is None or self._whole is not None:
            self.body = response.body or bytes(self._whole or b"")
            await self._pass_whole(self.body)
        elif not self._assembler.ended:
            raise TransportError("reset", "the server ended the stream before the reply was whole")
        else:
            self.body = self._assembler.encode()
        return Response(200, {}, self.body)

    async def _feed(self, data: bytes) -> None:
        """Takes what arrived, and passes on the events that are complete."""
        if self._whole is None and not self._rest and not self.begun:
            start = data.lstrip()[:1]
            if start in (b"{", b"["):  # no stream: the server answers whole
                self._whole = bytearray()
        if self._whole is not None:
            self._whole += data
            return
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        events = []
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data and data != b"[DONE]":
                chunk = self._read(data)
                self._assembler.add(chunk)
                events.append(Event(data, chunk))
        if events:
            await self._pass(events)

    def _read(self, data: bytes) -> Chunk:
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            shown = data[:200].decode("utf-8", "replace")
            raise ModelError(
                f"an event of the stream is no chunk of a completion: {error}: {shown!r}",
                retryable=True,
            ) from None
        if chunk.error is not None:
            code = chunk.error.get("code") if isinstance(chunk.error, dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            raise status_error(Response(status, {}, data))
        return chunk

    async def _pass(self, events: list[Event]) -> None:
        if not self.begun:
            self.begun = True
            self._limit.hold()
        await self._sink(events)

    async def _pass_whole(self, body: bytes) -> None:
        """Passes a reply on that came at once."""
        self._decode(body)  # raises what is worth another try
        pieces = [_encode(piece) for piece in split(msgspec.json.decode(body))]
        await self._pass([Event(piece, _chunk.decode(piece)) for piece in pieces])
