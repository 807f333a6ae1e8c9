"""A connection to an MCP server, by a program (stdio) or a URL (streamable HTTP), and its tools.

Source of the protocol: modelcontextprotocol.io, by its SDK.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CONNECTION_CLOSED, INVALID_PARAMS, INVALID_REQUEST, Implementation

from athlos._version import __version__
from athlos.connect.declared import DeclaredTool
from athlos.connect.http_server import ServerError
from athlos.connect.mcp_stdio import Program, clean_environment
from athlos.errors import ConfigError, ToolError
from athlos.timeouts import time_limit
from athlos.tools import Tool

__all__ = ["CALL", "Http", "McpServer", "Stdio"]

_PAGES = 100  # of a list of tools
_ALIVE = 5.0  # seconds for a server to show that it is there
_END = 60.0  # ... for a connection to end
_LONGEST_NAME = 120  # characters
_DEEPEST = 100  # levels of arguments: what they are written with has its limit at 255

CALL = "call_mcp"
"""The method of an environment that runs a tool of a server."""


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    """What servers have in common.

    Attributes:
        prefix: Put before the names of its tools.
        timeout: Seconds that a call may take; then the model is told that it took too long.
        start: Seconds in which it must have said what its tools are.
    """

    prefix: str = ""
    timeout: float = 120.0
    start: float = 60.0


class Stdio(_Source, frozen=True):
    """A program that speaks MCP over its standard input and output.

    It has the environment variables that any program needs (`PATH`, `HOME`, `LANG` and the like)
    and no others of this process: neither keys nor tokens.

    Attributes:
        command: The program and its arguments; no shell reads them.
        env: Further variables.
        pass_env: Names of variables of this process that it has as well.
        cwd: Where it starts; by default where Athlos did.
    """

    command: list[str]
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    cwd: str | None = None

    @property
    def name(self) -> str:
        """For errors."""
        return f"the MCP server {' '.join(self.command)[:_LONGEST_NAME]!r}"


class Http(_Source, frozen=True):
    """A server that speaks MCP over streamable HTTP.

    Attributes:
        url: Of its endpoint, `http://127.0.0.1:8000/mcp` for example.
        api_key_env: Variable that holds its bearer token; "" if it asks for none.
    """

    url: str
    api_key_env: str = ""

    @property
    def name(self) -> str:
        """For errors."""
        return f"the MCP server at {self.url}"


class McpServer:
    """A connection to a server, for one attempt or for all of a run.

        async with McpServer(Stdio(command=["server"])) as server:
            ...

    Args:
        source: How to reach it.

    Attributes:
        tools: Its tools, by the names that the model uses.
    """

    def __init__(self, source: Stdio | Http) -> None:
        self.tools: Mapping[str, Tool] = {}
        self._source = source
        self._theirs: dict[str, str] = {}
        self._client: Client | None = None
        self._program: Program | None = None
        self._owner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._leave = asyncio.Event()
        self._one = asyncio.Lock()
        self._why = ""

    @property
    def name(self) -> str:
        """For errors."""
        return self._source.name

    async def open(self) -> None:
        """Connects, if it is not connected: a server that has died since is started again.

        Raises:
            ConfigError: There is no such program, or a variable is not set.
            ServerError: It ends, or does not answer in time.
        """
        async with self._one:
            if self._client is not None and (self._program is None or not self._program.ended):
                return
            await self._end()
            ready = self._ready = asyncio.get_running_loop().create_future()
            self._leave = asyncio.Event()
            self._why = ""
            # a task of its own: the SDK wants its connection closed by the task that opened it
            self._owner = asyncio.create_task(self._own(ready, self._leave))
            limit = time_limit(self._source.start)
            try:
                with limit:
                    await asyncio.shield(ready)
            except TimeoutError as error:
                await self._end()
                if not limit.expired:
                    raise
                said = f"it did not say what its tools are within {self._source.start:g} s"
                raise self._failed(said) from error
            except BaseException:
                await self._end()
                raise

    async def close(self) -> None:
        """Closes the connection; nothing of a program is left afterwards."""
        async with self._one:
            await self._end()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Calls a tool; what the model is told.

        Raises:
            ToolError: It failed, was called wrongly or took too long.
            ServerError: The server died, does not answer, or broke the protocol.
        """
        client, owner, seconds = self._client, self._owner, self._source.timeout
        if client is None or owner is None:
            raise self._failed("it is not there any more")
        if _is_deep(arguments, _DEEPEST):
            raise ToolError(f"the arguments of {name} have more than {_DEEPEST} levels")
        limit = time_limit(seconds)
        try:
            with limit:
                result = await client.call_tool(self._theirs[name], arguments)
        except TimeoutError:
            if not limit.expired:
                raise
            if not await self._is_alive(client):
                await self._lost(client, owner)
                raise self._failed(f"it did not answer within {seconds:g} s") from None
            raise ToolError(f"{name} took longer than {seconds:g} s") from None
        except MCPError as error:
            if error.code == INVALID_PARAMS:
                raise ToolError(error.message) from None
            if error.code in (CONNECTION_CLOSED, INVALID_REQUEST):  # the latter: no such session
                await self._lost(client, owner)
            raise self._failed(error.message) from error
        except (RuntimeError, ValueError) as error:  # what the SDK finds wrong with a reply
            raise self._failed(f"a reply that is not the protocol: {error}", False) from error
        text = _text(result)
        if result.is_error:
            raise ToolError(text or "the tool failed")
        return text

    async def _own(self, ready: asyncio.Future[None], leave: asyncio.Event) -> None:
        """Opens the connection, and closes it when it is told to or when it breaks."""
        failed: Exception | None = None
        try:
            async with AsyncExitStack() as stack:
                info = Implementation(name="athlos", version=__version__)
                transport = await self._transport(stack)
                client = await stack.enter_async_context(Client(transport, client_info=info))
                self.tools, self._theirs = await self._list(client)
                self._client = client
                if not ready.done():
                    ready.set_result(None)
                await leave.wait()
        except ConfigError as error:
            failed = error
        except Exception as error:  # noqa: BLE001 - of the SDK, of its HTTP library, or groups
            self._why = _reason(error)
            failed = error
        finally:
            self._client = None
            if self._program is not None:
                self._why = self._program.last_words() or self._why
            if not ready.done():
                if not isinstance(failed, ConfigError):
                    failed = self._failed("it cannot be used")
                ready.set_exception(failed)
                ready.exception()  # seen, whether somebody waits or not

    async def _transport(self, stack: AsyncExitStack) -> Any:
        source = self._source
        if isinstance(source, Stdio):
            env = clean_environment(source.pass_env, source.env)
            self._program = Program(source.command, env=env, cwd=source.cwd)
            return self._program.streams()
        headers = {}
        if source.api_key_env:
            if not (key := os.environ.get(source.api_key_env)):
                raise ConfigError(
                    f"the variable {source.api_key_env}, which holds the token of {source.url}, "
                    "is not set"
                )
            headers["authorization"] = f"Bearer {key}"
        # calls have deadlines of ours; credentials and proxies of the machine are not for it
        http = httpx2.AsyncClient(headers=headers, timeout=None, trust_env=False)
        await stack.enter_async_context(http)
        return streamable_http_client(source.url, http_client=http)

    async def _list(self, client: Client) -> tuple[dict[str, Tool], dict[str, str]]:
        tools: dict[str, Tool] = {}
        theirs: dict[str, str] = {}
        cursor = None
        for _ in range(_PAGES):
            page = await client.list_tools(cursor=cursor)
            for each in page.tools:
                name = self._source.prefix + each.name
                theirs[name] = each.name
                tools[name] = DeclaredTool(
                    name, CALL, description=each.description or "", parameters=each.input_schema
                )
            cursor = page.next_cursor
            if cursor is None:
                break
        return tools, theirs

    async def _is_alive(self, client: Client) -> bool:
        with suppress(TimeoutError):
            try:
                with time_limit(_ALIVE):
                    await client.list_tools(cache_mode="bypass")
            except MCPError as error:
                return error.code != CONNECTION_CLOSED
            except (RuntimeError, ValueError):
                pass
            return True
        return False

    async def _lost(self, client: Client, owner: asyncio.Task[None]) -> None:
        """A connection is of no more use; `open` makes another one, or has done so."""
        if self._client is client:
            self._client = None
            self._leave.set()
        await asyncio.wait((owner,), timeout=_END)  # it finds out why

    async def _end(self) -> None:
        owner, ready = self._owner, self._ready
        self._leave.set()
        if owner is None or ready is None:
            return
        if not ready.done():
            owner.cancel()
        _, left = await asyncio.wait((owner,), timeout=_END)
        if left:
            owner.cancel()
            raise ServerError(f"{self.name}: its connection does not end")
        self._owner = None

    def _failed(self, said: str, retryable: bool = True) -> ServerError:
        why = f"{said}; {self._why}" if self._why and self._why != said else said
        return ServerError(f"{self.name}: {why}", retryable=retryable)


def _is_deep(value: Any, levels: int) -> bool:
    """Whether a value of JSON has more levels than that."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return not levels or any(_is_deep(inner, levels - 1) for inner in value)


def _text(result: Any) -> str:
    """The texts of a result; what is no text is named."""
    parts = []
    for block in result.content:
        if block.type == "text":
            parts.append(block.text)
        elif block.type == "resource":
            parts.append(getattr(block.resource, "text", None) or f"[{block.resource.uri}]")
        elif block.type == "resource_link":
            parts.append(f"[{block.uri}]")
        else:
            parts.append(f"[{block.type}, {block.mime_type}]")
    if not parts and result.structured_content is not None:
        return msgspec.json.encode(result.structured_content).decode()
    return "\n".join(parts)


def _reason(error: BaseException) -> str:
    """The first error of a group, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
