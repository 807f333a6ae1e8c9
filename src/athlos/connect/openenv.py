"""Environments behind an OpenEnv server: `openenv+http://host:port`.

One attempt is one WebSocket session. An action is a call of the tool `act`, whose arguments are the
server's own action schema; where an action is one text, a plain message is an action as well.
Source of the protocol: the public repository meta-pytorch/OpenEnv.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import msgspec
import websockets  # type: ignore[import-not-found,unused-ignore]
from websockets.asyncio.client import (  # type: ignore[import-not-found,unused-ignore]
    ClientConnection,
    connect,
)

from athlos.connect.declared import DeclaredTool
from athlos.connect.http_server import Server, ServerError, name_of
from athlos.environment import Config, Environment, reward
from athlos.errors import ConfigError, ToolError, VerifierError
from athlos.timeouts import time_limit
from athlos.tools import Tool
from athlos.types import Message, Rollout, Task

__all__ = ["load"]

_LARGEST = 100 * 1024 * 1024  # bytes of a message, as their client has it
_LEAVE = 5.0
_MODELS_FAULT = frozenset({"VALIDATION_ERROR", "EXECUTION_ERROR"})


class OpenEnvConfig(Config):
    """Settings of a server.

    Attributes:
        size: Number of tasks; each is the environment from another seed.
        instructions: Put before the first observation.
        total: The reward is the `sum` of those of all steps, or the `last` one.
        timeout: Seconds that one step may take.
        wait: Seconds that the run waits for a server that refuses connections.
        api_key_env: Variable that holds the server's bearer token; "" if it asks for none.
    """

    size: int = 100
    instructions: str = ""
    total: Literal["sum", "last"] = "sum"
    timeout: float = 120.0
    wait: float = 30.0
    api_key_env: str = ""


def load(url: str) -> type[Environment]:
    """The environment behind a URL."""
    url = url.rstrip("/")
    return type(
        "OpenEnv",
        (OpenEnv,),
        {
            "__doc__": f"The OpenEnv environment at {url}.",
            "__module__": __name__,
            "name": name_of("openenv", url),
            "url": url,
        },
    )


class OpenEnv(Environment):
    """One episode of the server's environment."""

    Config = OpenEnvConfig
    parallel_tools = False
    url: str

    @classmethod
    def tasks(cls, config: OpenEnvConfig, split: str) -> Iterator[Task]:
        """Episodes; those of different splits have different seeds."""
        for index in range(config.size):
            seed = random.Random(f"{split}-{index}").getrandbits(31)
            prompt = config.instructions or "Act in the environment."
            yield Task(prompt=prompt, info={"seed": seed}, id=f"{split}-{index}")

    @classmethod
    @asynccontextmanager
    async def shared(cls, config: OpenEnvConfig) -> AsyncIterator[tuple[DeclaredTool, str]]:
        """The tool `act`, and the one text of an action, "" if it has other fields."""
        server = Server(cls.url, api_key_env=config.api_key_env, wait=config.wait)
        try:
            answer = await server.first(
                server.session(), "GET", "/schema", None, timeout=config.timeout
            )
            schema = answer.fields().get("action")
        except ServerError as error:
            raise ConfigError(error.message, hint=error.hint) from error
        finally:
            await server.close()
        yield _act(schema if isinstance(schema, dict) else {})

    async def setup(self) -> None:
        """Opens a session and resets it; the opening message has what is observed."""
        shared: Any = self.shared
        self._tool, self._text = shared
        self._total, self._steps = 0.0, 0
        self._connection: ClientConnection | None = None
        headers = {}
        if self.config.api_key_env:
            headers["authorization"] = f"Bearer {os.environ[self.config.api_key_env]}"
        address = "ws" + self.url.removeprefix("http") + "/ws"
        try:
            self._connection = await connect(
                address, max_size=_LARGEST, open_timeout=self.config.timeout,
                additional_headers=headers, proxy=None,
            )  # fmt: skip
        except (OSError, TimeoutError, websockets.WebSocketException) as error:
            raise ServerError(f"{address}: {error}", retryable=True) from error
        seed = self.task.info.get("seed", self.seed)
        found = await self._ask("reset", {"seed": seed})
        seen = _shown(found.get("observation"))
        text = f"{self.task.messages()[-1].text}\n\n{seen}" if seen else self.task.prompt
        self.done = found.get("done") is True
        self.task = msgspec.structs.replace(self.task, prompt=text)

    def offered_tools(self) -> Mapping[str, Tool]:
        """The one tool that acts."""
        return {self._tool.name: self._tool}

    async def act(self, name: str, arguments: dict[str, Any]) -> str:
        """Takes an action; what is observed then."""
        if self.done:
            raise ToolError("the episode is over")
        found = await self._ask("step", arguments)
        value = found.get("reward")
        if value is not None:
            if not isinstance(value, bool | int | float) or not math.isfinite(value):
                raise VerifierError(f"{self.url} gave the reward {str(value)[:100]!r}")
            self._total = float(value) + (self._total if self.config.total == "sum" else 0.0)
        self._steps += 1
        self.done = found.get("done") is True
        return _shown(found.get("observation")) or "Done."

    async def reply(self, message: Message) -> str | None:
        """Takes a plain message as the text of an action, if an action is one text."""
        if not self._text or self.done:
            return None
        try:
            return await self.act("act", {self._text: message.text})
        except ToolError as error:
            return f"Error: {error}"

    async def teardown(self) -> None:
        """Closes the session."""
        if (connection := getattr(self, "_connection", None)) is not None:
            # it is over anyway; the server is given a moment to close its side first
            with suppress(OSError, TimeoutError, websockets.WebSocketException), time_limit(_LEAVE):
                await connection.send('{"type":"close"}')
                await connection.recv()
            await connection.close()

    @reward
    def result(self, rollout: Rollout) -> float:
        """What the steps came to."""
        rollout.extra["episode"] = {"steps": self._steps, "done": self.done}
        return self._total

    async def _ask(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Sends a message; the data of the answer."""
        assert self._connection is not None
        what = f"{kind} at {self.url}"
        limit = time_limit(self.config.timeout)
        try:
            with limit:
                await self._connection.send(
                    msgspec.json.encode({"type": kind, "data": data}).decode()
                )
                raw = await self._connection.recv()
        except (OSError, websockets.WebSocketException) as error:
            raise ServerError(f"{what}: {error}", retryable=True) from error
        except TimeoutError as error:
            if not limit.expired:
                raise
            raise ServerError(f"{what}: no answer in time", retryable=True) from error
        try:
            answer = msgspec.json.decode(raw)
            found = answer["data"]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
            raise ServerError(f"{what}: not the protocol: {raw[:200]!r}") from error
        if not isinstance(found, dict):
            raise ServerError(f"{what}: not the protocol: {raw[:200]!r}")
        if answer.get("type") == "error":
            said, code = str(found.get("message"))[:2000], found.get("code")
            if kind == "step" and code in _MODELS_FAULT:
                raise ToolError(said)
            raise ServerError(f"{what}: {code}: {said}", retryable=code == "CAPACITY_REACHED")
        return found


def _act(schema: Mapping[str, Any]) -> tuple[DeclaredTool, str]:
    fields = {k: v for k, v in (schema.get("properties") or {}).items() if k != "metadata"}
    required = [name for name in schema.get("required") or () if name in fields]
    parameters = {"type": "object", "properties": fields, "required": required}
    if "$defs" in schema:
        parameters["$defs"] = schema["$defs"]
    text = ""
    if len(fields) == 1 and next(iter(fields.values())).get("type") == "string":
        text = next(iter(fields))
    described = str(schema.get("description") or "Act in the environment.")
    return DeclaredTool("act", "act", description=described, parameters=parameters), text


def _shown(observation: Any) -> str:
    """What is observed, as text: the one text in it, or all of it as JSON."""
    if not isinstance(observation, dict):
        return "" if observation is None else str(observation)
    seen = {
        key: value
        for key, value in observation.items()
        if key not in ("done", "reward", "metadata") and value is not None
    }
    if len(seen) == 1 and isinstance(text := next(iter(seen.values())), str):
        return text
    return msgspec.json.encode(seen).decode() if seen else ""
