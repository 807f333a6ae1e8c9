"""The tools of an attempt for programs that speak MCP, the Model Context Protocol.

Transport: streamable HTTP, without streams: each message is a POST, and its reply is JSON. There
are no sessions on the wire, as each attempt has an address and a key of its own. Versions of the
protocol are dates; those with the `initialize` handshake are spoken. Source:
modelcontextprotocol.io.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from athlos._version import __version__
from athlos.agents.tools import execute
from athlos.environment import Environment
from athlos.errors import AthlosError, EnvError
from athlos.gateway.app import MAX_BODY, Receive, Scope, Send, read_body, send_json
from athlos.gateway.refusal import Refusal
from athlos.tools import Tool
from athlos.types import Rollout

__all__ = ["ToolServer"]

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_END = 10.0  # seconds that a cancelled tool has to end
_PARSE, _INVALID, _UNKNOWN, _PARAMS, _INTERNAL = -32700, -32600, -32601, -32602, -32603
_encode = msgspec.json.Encoder().encode


class _Message(Struct):
    jsonrpc: str
    method: str | UnsetType = UNSET
    id: int | str | UnsetType | None = UNSET
    params: Raw = Raw(b"{}")


class _Call(Struct):
    name: str
    arguments: Raw = Raw(b"{}")


class _Hello(Struct):
    protocol: str = msgspec.field(default="", name="protocolVersion")


_message = msgspec.json.Decoder(_Message).decode
_call = msgspec.json.Decoder(_Call).decode
_hello = msgspec.json.Decoder(_Hello).decode


class _Mistake(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class ToolServer:
    """Answers the MCP requests of one attempt.

    Args:
        env: Whose tools they are.
        tools: Those that the task offers.
        rollout: Where errors and the time are counted.

    Attributes:
        calls: Tool calls up to now.
        failed: Done with an exception when a tool fails in a way that ends the attempt.
    """

    def __init__(self, env: Environment, tools: Mapping[str, Tool], rollout: Rollout) -> None:
        self.calls = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failed.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._env = env
        self._tools = tools
        self._rollout = rollout
        self._running: dict[asyncio.Task[tuple[str, bool]], None] = {}
        self._busy_since = 0.0
        self._one = None if env.parallel_tools else asyncio.Lock()
        self._closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; it has shown its key.

        Raises:
            Refusal: It is no POST, or does not arrive.
        """
        if scope["method"] != "POST":
            raise Refusal(
                405, "there are no streams and no sessions here: this endpoint takes POST"
            )
        body = await read_body(scope, receive, MAX_BODY)
        reply: MutableMapping[str, Any] = {"jsonrpc": "2.0", "id": None}
        try:
            try:
                message = _message(body)
            except msgspec.ValidationError as error:
                raise _Mistake(_INVALID, f"this is no JSON-RPC message: {error}") from None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise _Mistake(_PARSE, f"the body is no JSON: {error}") from None
            if message.id is UNSET or message.method is UNSET:  # a notification, or a reply
                await send({"type": "http.response.start", "status": 202, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            reply["id"] = message.id
            reply["result"] = await self._answer(message.method, message.params)
        except _Mistake as error:
            reply["error"] = {"code": error.code, "message": error.message}
        await send_json(send, 200, _encode(reply))

    async def close(self) -> None:
        """Cancels the tools that still run, and runs no further ones.

        Raises:
            EnvError: One does not end.
        """
        self._closed = True
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            _, left = await asyncio.wait(running, timeout=_END)
            if left:
                raise EnvError(f"a tool that was cancelled did not end within {_END:g} s")

    async def _answer(self, method: str, params: Raw) -> dict[str, Any]:
        if method == "tools/call":
            return await self._call(params)
        if method == "tools/list":
            return {"tools": [_described(tool) for tool in self._tools.values()]}
        if method == "ping":
            return {}
        if method != "initialize":
            raise _Mistake(_UNKNOWN, "there is no such method")
        asked = _read(_hello, params).protocol
        return {
            "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "athlos", "version": __version__},
        }

    async def _call(self, params: Raw) -> dict[str, Any]:
        call = _read(_call, params)
        if self._closed or self._env.done:
            return _said("Error: the task is over; no further tool can be called.", True)
        self.calls += 1
        # a task of its own: a client that does not wait must not stop a tool half-way
        task = asyncio.get_running_loop().create_task(self._run(call))
        if not self._running:
            self._busy_since = time.monotonic()
        self._running[task] = None
        task.add_done_callback(self._end)
        try:
            return _said(*await asyncio.shield(task))
        except AthlosError:
            raise _Mistake(_INTERNAL, "the environment failed") from None
        except asyncio.CancelledError:
            here = asyncio.current_task()
            if not task.cancelled() or (here is not None and here.cancelling()):
                raise
            raise _Mistake(_INTERNAL, "the tool was cancelled") from None

    async def _run(self, call: _Call) -> tuple[str, bool]:
        """Runs a tool."""
        if self._one is not None:
            async with self._one:
                return await self._execute(call)
        return await self._execute(call)

    async def _execute(self, call: _Call) -> tuple[str, bool]:
        try:
            arguments = bytes(call.arguments).decode(errors="replace")
            text, failed = await execute(
                self._env, self._tools, call.name, "" if arguments == "null" else arguments
            )
        except AthlosError as error:
            self._fail(error)
            raise
        except asyncio.CancelledError:
            if not self._closed:
                self._fail(EnvError(f"tool {call.name} raised CancelledError"))
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # panics of Rust libraries are no Exceptions
            made = EnvError(f"tool {call.name} raised {type(error).__name__}: {error}")
            self._fail(made)
            raise made from error
        self._rollout.tool_errors += failed
        return text, failed

    def _fail(self, error: AthlosError) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _end(self, task: asyncio.Task[tuple[str, bool]]) -> None:
        if not task.cancelled():
            task.exception()  # seen, whether somebody waits or not
        del self._running[task]
        if not self._running:
            self._rollout.timing.environment += time.monotonic() - self._busy_since


def _read(decode: Any, params: Raw) -> Any:
    try:
        return decode(params)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Mistake(_PARAMS, f"these parameters do not fit: {error}") from None


def _described(tool: Tool) -> dict[str, Any]:
    function = tool.wire["function"]
    return {
        "name": tool.name,
        "description": function["description"],
        "inputSchema": function["parameters"],
    }


def _said(text: str, failed: bool) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}
