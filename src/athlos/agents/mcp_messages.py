"""What is said in MCP, the Model Context Protocol, where tools are offered: a message, its reply.

Transport: streamable HTTP, without streams: each message is a POST, and its reply is JSON. There
are no sessions on the wire: whom a message is for is known before it is read. Versions of the
protocol are dates; those with the `initialize` handshake are spoken. Source:
modelcontextprotocol.io.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from athlos._version import __version__
from athlos.tools import Tool

__all__ = ["VERSIONS", "Reply", "RpcError", "RunTool", "answer", "refuse"]

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_PARSE, _INVALID, _UNKNOWN, _PARAMS, _INTERNAL = -32700, -32600, -32601, -32602, -32603
_encode = msgspec.json.Encoder().encode

RunTool = Callable[[str, str], Awaitable[tuple[str, bool]]]
"""Runs a tool, by its name and its arguments as JSON; the text, and whether the call failed."""


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


class _Named(Struct):
    id: int | str | None = None


_message = msgspec.json.Decoder(_Message).decode
_call = msgspec.json.Decoder(_Call).decode
_hello = msgspec.json.Decoder(_Hello).decode
_named = msgspec.json.Decoder(_Named).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RpcError(Exception):
    """A message that is answered with an error.

    Args:
        message: What happened, for a person.
        code: Of JSON-RPC; by default that of a failure within.
        status: Of HTTP; 200 if the message could be read.
    """

    def __init__(self, message: str, code: int = _INTERNAL, status: int = 200) -> None:
        super().__init__(message, code, status)
        self.message = message
        self.code = code
        self.status = status


class Reply(NamedTuple):
    """A reply: its status of HTTP, and its body, which a notification has not."""

    status: int
    body: bytes


async def answer(body: bytes, tools: Mapping[str, Tool], run: RunTool) -> Reply:
    """Answers a message.

    Args:
        body: The message.
        tools: Those that are offered.
        run: Runs one. An `RpcError` of it is the reply; what else it raises passes.
    """
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": None}
    try:
        message = _read_message(body)
        if message.id is UNSET or message.method is UNSET:  # a notification, or a reply
            return Reply(202, b"")
        reply["id"] = message.id
        reply["result"] = await _result(message.method, message.params, tools, run)
    except RpcError as error:
        reply["error"] = {"code": error.code, "message": error.message}
        return Reply(error.status, _encode(reply))
    return Reply(200, _encode(reply))


def refuse(body: bytes, message: str, data: Mapping[str, Any]) -> bytes:
    """The reply to a message that is not looked at further.

    Args:
        body: The message.
        message: Why, for a person.
        data: The same for a program.
    """
    try:
        name = _named(body).id
    except _UNREADABLE:
        name = None
    error = {"code": _INTERNAL, "message": message, "data": data}
    return _encode({"jsonrpc": "2.0", "id": name, "error": error})


def _read_message(body: bytes) -> _Message:
    try:
        return _message(body)
    except msgspec.ValidationError as error:
        raise RpcError(f"this is no JSON-RPC message: {error}", _INVALID, 400) from None
    except _UNREADABLE as error:
        raise RpcError(f"the body is no JSON: {error}", _PARSE, 400) from None


async def _result(
    method: str, params: Raw, tools: Mapping[str, Tool], run: RunTool
) -> dict[str, Any]:
    if method == "tools/call":
        call = _read(_call, params)
        # nobody has looked yet whether that is UTF-8
        arguments = bytes(call.arguments).decode(errors="replace")
        text, failed = await run(call.name, "" if arguments == "null" else arguments)
        return {"content": [{"type": "text", "text": text}], "isError": failed}
    if method == "tools/list":
        return {"tools": [_described(tool) for tool in tools.values()]}
    if method == "ping":
        return {}
    if method != "initialize":
        raise RpcError("there is no such method", _UNKNOWN)
    asked = _read(_hello, params).protocol
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "athlos", "version": __version__},
    }


def _read(decode: Any, params: Raw) -> Any:
    try:
        return decode(params)
    except _UNREADABLE as error:
        raise RpcError(f"these parameters do not fit: {error}", _PARAMS) from None


def _described(tool: Tool) -> dict[str, Any]:
    function = tool.wire["function"]
    return {
        "name": tool.name,
        "description": function["description"],
        "inputSchema": function["parameters"],
    }
