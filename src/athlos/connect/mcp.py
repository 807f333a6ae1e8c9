"""Tools of MCP servers for an environment: of programs (stdio) and of URLs (streamable HTTP).

    class Notes(McpEnvironment):
        def servers(self):
            return [Stdio(command=[sys.executable, "notes_server.py"])]

A server is started for each attempt, or once for all of them, in `shared`. Its tools are offered as
it describes them. What it calls an error is told to the model. A server that dies, or does not
answer, is a failure of the attempt.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from athlos.connect.mcp_server import Http, McpServer, Stdio
from athlos.environment import Environment
from athlos.errors import ConfigError, EnvError
from athlos.tools import Tool

__all__ = ["Http", "McpEnvironment", "McpServer", "Stdio"]


class McpEnvironment(Environment):
    """An environment whose tools are those of MCP servers, beside its own.

    A `setup` of the author's says when the servers start: `await super().setup()`. They end after
    `teardown`, in every case.
    """

    def servers(self) -> Iterable[Stdio | Http | McpServer]:
        """Where the tools come from, asked once in each attempt.

        A `Stdio` or `Http` is opened for this attempt. An `McpServer` is one that all attempts
        share, from `shared`; if it has died, it is started again.
        """
        return ()

    async def setup(self) -> None:
        """Starts the servers, and learns their tools."""
        self._own: list[McpServer] = []
        self._by_tool: dict[str, McpServer] = {}
        for given in self.servers():
            server = given
            if not isinstance(server, McpServer):
                server = McpServer(server)
                self._own.append(server)
            await server.open()
            for name in server.tools:
                if other := self._by_tool.get(name) or self.tools.get(name):
                    raise ConfigError(
                        f"{type(self).__name__}: {server.name} has a tool {name!r}, and so has "
                        f"{other.name if isinstance(other, McpServer) else 'the environment'}",
                        hint="prefix='...' of a server is put before the names of its tools.",
                    )
                self._by_tool[name] = server

    def offered_tools(self) -> Mapping[str, Tool]:
        """The environment's own, then those of its servers."""
        if not hasattr(self, "_by_tool"):
            raise EnvError(
                f"{type(self).__name__}: the MCP servers were not started",
                hint="Its own setup() must say `await super().setup()`.",
            )
        theirs = {name: server.tools[name] for name, server in self._by_tool.items()}
        found = {**self.tools, **theirs}
        if self.task.tools is None:
            return found
        for name in self.task.tools:
            if name not in found:
                raise EnvError(f"the task offers a tool {name!r}, which there is not")
        return {name: found[name] for name in self.task.tools}

    async def call_mcp(self, name: str, arguments: dict[str, Any]) -> str:
        """Calls a tool of a server; what the model is told."""
        return await self._by_tool[name].call(name, arguments)

    async def teardown(self) -> None:
        """Ends the servers of this attempt."""
        await self._end_servers()

    async def _end_servers(self) -> None:
        own = getattr(self, "_own", ())
        ended = await asyncio.gather(*(server.close() for server in own), return_exceptions=True)
        for failed in ended:
            if failed is not None:
                raise failed

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "teardown" in cls.__dict__:
            cls.teardown = _ending(cls.__dict__["teardown"])  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        hidden = ("_own", "_by_tool")
        return {name: value for name, value in super().__getstate__().items() if name not in hidden}


def _ending(teardown: Callable[[Any], Any]) -> Any:
    """A `teardown` of an author's, after which the servers end."""

    @wraps(teardown)
    async def wrapped(self: McpEnvironment) -> None:
        try:
            result = teardown(self)
            if inspect.isawaitable(result):
                await result
        finally:
            await self._end_servers()

    return wrapped
