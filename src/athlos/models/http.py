"""The transport to any server: HTTP/1.1 by `pyreqwest` (docs/decisions/0001-http-client.md)."""

from __future__ import annotations

from datetime import timedelta

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    ConnectError,
    ConnectTimeoutError,
    DetailedPyreqwestError,
    NetworkError,
    RequestTimeoutError,
)

from athlos.errors import ConfigError
from athlos.models.transport import FaultKind, Response, TransportError

__all__ = ["HttpTransport"]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_IDLE = 15.0  # seconds; below the keep-alive of the usual servers, so that they do not close first


class HttpTransport:
    """A pool of connections to one server.

    Args:
        base_url: Up to and with `/v1`, without a slash at the end.
        api_key: Sent as a bearer token; kept in no attribute.
        connect_timeout: Seconds. Deadlines on the reply are the caller's.
        connections: How many may be open at once; a request beyond waits for one.

    Raises:
        ConfigError: The URL is not usable.
    """

    def __init__(
        self, base_url: str, *, api_key: str | None, connect_timeout: float, connections: int
    ) -> None:
        scheme, separator, rest = base_url.partition("://")
        if not separator or scheme not in ("http", "https") or not rest.strip("/"):
            raise ConfigError(
                f"{base_url!r} is no base URL", hint="It looks like http://127.0.0.1:8000/v1."
            )
        headers = {"content-type": "application/json"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        builder = (
            ClientBuilder()
            .default_headers(headers)
            .connect_timeout(timedelta(seconds=connect_timeout))
            .max_connections(connections)
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(timedelta(seconds=_IDLE))
            .follow_redirects(False)  # a redirected POST would lose its body or its key's secrecy
            .http1_only()
            .tcp_nodelay(True)
        )
        if rest.startswith(_LOOPBACK):
            builder = builder.no_proxy()
        self._client: Client | None = builder.build()
        self._base = base_url

    async def send(self, method: str, path: str, body: bytes | None = None) -> Response:
        """Sends one request; see `Transport.send`."""
        if self._client is None:
            raise TransportError("connect", "the model client is closed")
        try:
            request = self._client.request(method, self._base + path)
            if body is not None:
                request = request.body_bytes(body)
            response = await request.build().send()
            content = bytes(await response.bytes())
        except (BuilderError, ValueError) as error:
            raise ConfigError(f"{self._base!r} is no base URL: {error}") from error
        except DetailedPyreqwestError as error:
            raise TransportError(_kind(error), f"{self._base}{path}: {_cause(error)}") from error
        return Response(response.status, response.headers, content)

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _kind(error: DetailedPyreqwestError) -> FaultKind:
    if isinstance(error, ConnectError | ConnectTimeoutError):
        return "connect"
    if isinstance(error, RequestTimeoutError):
        return "timeout"
    if isinstance(error, NetworkError):
        return "reset"
    return "protocol"


def _cause(error: DetailedPyreqwestError) -> str:
    """The library's innermost cause, which names the system's error."""
    causes = (error.details or {}).get("causes") or []
    summary = str(error.args[0]) if error.args else type(error).__name__
    return f"{summary}: {causes[-1]['message']}" if causes else summary
