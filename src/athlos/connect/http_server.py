"""A server of environments, as its clients see it: sessions with cookies, deadlines, errors."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from athlos.errors import ConfigError, EnvError
from athlos.models.http import HttpTransport
from athlos.models.transport import TransportError
from athlos.timeouts import time_limit

__all__ = ["Answer", "Server", "ServerError", "ServerSession", "name_of"]

_CONNECT_TIMEOUT = 10.0
_CONNECTIONS = 1024
_PAUSES = (0.25, 0.5, 1.0, 2.0)
_EXCERPT = 300
_RETRYABLE = frozenset({408, 425, 429})
_LOST = frozenset({"no_such_session", "session_over"})
_COOKIE = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*([^;\s]*)")


def name_of(kind: str, url: str) -> str:
    """Names an environment behind a URL, without the host: a run may go on at another one."""
    return f"{kind}{urlsplit(url).path.rstrip('/')}"


class ServerError(EnvError):
    """A server did not answer, or not as the protocol says.

    Attributes:
        retryable: Whether another attempt may be luckier.
    """

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class _Code(msgspec.Struct):
    code: str


class _Refusal(msgspec.Struct):
    error: _Code


class Answer(msgspec.Struct):
    """A reply of a server, whatever its status."""

    status: int
    body: bytes
    what: str

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def lost(self) -> bool:
        """Whether the session is gone, as `athlos serve` says it: it began anew, for example."""
        if self.status not in (404, 410):
            return False
        try:
            return msgspec.json.decode(self.body, type=_Refusal).error.code in _LOST
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False

    def checked(self) -> Answer:
        """The reply, if its status is one of success.

        Raises:
            ServerError: It is not.
        """
        if 200 <= self.status < 300:
            return self
        hint = ""
        if self.status in (401, 403):
            hint = "--env.api_key_env NAME names the variable that holds the server's token."
        retryable = self.status >= 500 or self.status in _RETRYABLE or self.lost
        said = self.text[:_EXCERPT].strip()
        raise ServerError(
            f"{self.what} answered {self.status}{f': {said}' if said else ''}",
            hint=hint, retryable=retryable,
        )  # fmt: skip

    def value(self) -> Any:
        """The body, which is JSON.

        Raises:
            ServerError: The status is not one of success, or the body is no JSON.
        """
        self.checked()
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ServerError(
                f"{self.what} answered what is no JSON ({error}): {self.text[:_EXCERPT]}"
            ) from error

    def fields(self) -> dict[str, Any]:
        """The body, which is a JSON object.

        Raises:
            ServerError: It is not.
        """
        found = self.value()
        if not isinstance(found, dict):
            raise ServerError(f"{self.what} answered no JSON object but {self.text[:_EXCERPT]}")
        return found


class Server:
    """Connections to one server, for all attempts of a run.

    Args:
        url: Without a slash at the end.
        api_key_env: Name of the variable that holds a bearer token; "" if the server asks for none.
        wait: Seconds that a new session waits for a server that refuses connections.

    Raises:
        ConfigError: The URL is not usable, or the variable is not set.
    """

    def __init__(self, url: str, *, api_key_env: str = "", wait: float = 0.0) -> None:
        key = None
        if api_key_env:
            key = os.environ.get(api_key_env)
            if not key:
                raise ConfigError(
                    f"the variable {api_key_env}, which holds the token of {url}, is not set"
                )
        self.url = url
        self._wait = wait
        self._transport = HttpTransport(
            url, api_key=key, connect_timeout=_CONNECT_TIMEOUT, connections=_CONNECTIONS
        )

    def session(self) -> ServerSession:
        """A session: what the server sets as cookies in it belongs to it alone."""
        return ServerSession(self, self._transport)

    async def first(
        self, session: ServerSession, method: str, path: str, body: Any, *, timeout: float
    ) -> Answer:
        """Sends the first request of a session; waits for a server that refuses connections.

        Raises:
            ServerError: There was no reply.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._wait
        for count in range(10**9):
            try:
                return await session.send(method, path, body, timeout=timeout)
            except ServerError as error:
                pause = _PAUSES[min(count, len(_PAUSES) - 1)]
                refused = isinstance(error.__cause__, TransportError) and (
                    error.__cause__.kind == "connect"
                )
                if not refused or loop.time() + pause > end:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()


class ServerSession:
    """What one attempt says to a server, with the cookies that it was given."""

    def __init__(self, server: Server, transport: HttpTransport) -> None:
        self._server = server
        self._transport = transport
        self._cookies: dict[str, str] = {}

    async def post(
        self,
        path: str,
        body: Any,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Posts JSON and returns the reply, whatever its status.

        Raises:
            ServerError: There was none in time, or the body cannot be written as JSON.
        """
        return await self.send("POST", path, body, timeout=timeout, headers=headers)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends any request; see `post`."""
        what = f"{method} {self._server.url}{path}"
        try:
            encoded = None if body is None else msgspec.json.encode(body)
        except (TypeError, ValueError, RecursionError) as error:
            raise ServerError(f"{what}: the body cannot be written as JSON: {error}") from error
        sent = list((headers or {}).items())
        if self._cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            sent.append(("cookie", pairs))
        limit = time_limit(timeout)
        try:
            with limit:
                status, got, reply = await self._transport.exchange(method, path, sent, encoded)
        except TransportError as error:
            raise ServerError(f"{what}: {error.message}", retryable=True) from error
        except TimeoutError as error:
            if not limit.expired:
                raise
            raise ServerError(f"{what}: no reply within {timeout:g} s", retryable=True) from error
        self._keep(got.getall("set-cookie"))
        return Answer(status, reply, what)

    def _keep(self, lines: Iterable[str]) -> None:
        """Keeps the latest value of each cookie; one that has ended goes."""
        for line in lines:
            found = _COOKIE.match(line)
            if found is None:
                continue
            name, value = found.groups()
            self._cookies.pop(name, None)
            if not re.search(r";\s*max-age\s*=\s*(0|-\d+)\s*(;|$)", line, re.IGNORECASE):
                self._cookies[name] = value
