"""Resources servers of NeMo Gym, by address: `nemo-gym+http://host:port`.

`--tasks FILE` has NeMo Gym's rows. Both flavours work: seed, tools and verify; reset, step and
close. Source of the protocol: the public repository NVIDIA-NeMo/Gym.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from athlos.connect.http_server import Server, ServerError, ServerSession, name_of
from athlos.connect.nemo_gym_rows import declared_tools, gym_task, row_of, take_result
from athlos.connect.steps import with_steps
from athlos.environment import Config, Environment, reward
from athlos.errors import ConfigError, VerifierError
from athlos.responses import response, tool_item, write_items
from athlos.tools import Tool
from athlos.types import Message, Rollout, Task

__all__ = ["GymConfig", "load"]

Flavour = Literal["auto", "resources", "gymnasium"]

_OPENAPI_TIMEOUT = 30.0
# A tool that raises is a 500 there, which the model reads; these are of a server that is not well.
_SICK = frozenset({502, 503, 504})


class GymConfig(Config):
    """Settings of a server.

    Attributes:
        flavour: `resources` seeds, calls tools and verifies; `gymnasium` resets, steps and closes;
            `auto` asks the server which one it has.
        timeout: Seconds that one request may take.
        verify_timeout: Seconds that `/verify` may take.
        wait: Seconds that an attempt waits for a server that refuses connections.
        api_key_env: Variable that holds the server's bearer token; "" if it asks for none.
    """

    flavour: Flavour = "auto"
    timeout: float = 120.0
    verify_timeout: float = 600.0
    wait: float = 30.0
    api_key_env: str = ""


def load(url: str) -> type[Environment]:
    """The environment behind a URL."""
    url = url.rstrip("/")
    return type(
        "NemoGym",
        (NemoGym,),
        {
            "__doc__": f"The NeMo Gym resources server at {url}.",
            "__module__": __name__,
            "name": name_of("nemo-gym", url),
            "url": url,
        },
    )


class NemoGym(Environment):
    """A task is a row; its session, tools and reward are the server's."""

    Config = GymConfig
    parallel_tools = False  # as the agent of that library has it
    from_row = staticmethod(gym_task)
    url: str
    steps: bool
    truncated = False

    @classmethod
    def tasks(cls, config: Any, split: str) -> Iterable[Task]:
        """There are none: the protocol has no route for them."""
        raise ConfigError(
            f"{cls.name}: a resources server has no tasks",
            hint="--tasks FILE.jsonl, with the rows of its data set.",
        )

    @classmethod
    def own_agent(cls, agent: Any) -> Any:
        """The tool loop can also play the flavour of steps; other agents are left as they are."""
        return with_steps(agent)

    @classmethod
    @asynccontextmanager
    async def shared(cls, config: GymConfig) -> AsyncIterator[tuple[Server, bool]]:
        """The server, and whether it is of the flavour of steps."""
        server = Server(cls.url, api_key_env=config.api_key_env, wait=config.wait)
        try:
            try:
                steps = await _has_steps(server, config)
            except ServerError as error:
                raise ConfigError(error.message, hint=error.hint) from error
            yield server, steps
        finally:
            await server.close()

    async def setup(self) -> None:
        """Opens a session with the row."""
        self.row = row_of(self.task)
        self._tools = {tool.name: tool for tool in declared_tools(self.row, "call_tool")}
        shared: Any = self.shared
        server: Server
        server, self.steps = shared
        self._server = server
        self._session: ServerSession = server.session()
        self._opening = len(self.task.messages())
        self._closes = self._idempotent = False
        self.outcome: dict[str, Any] = {"reward": 0.0, "terminated": False, "truncated": False}
        if self.steps:
            await self._reset()
            return
        answer = await server.first(
            self._session, "POST", "/seed_session", self.row, timeout=self.config.timeout
        )
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # a reply need not say anything
            self._observe(msgspec.json.decode(answer.checked().body))

    def offered_tools(self) -> Mapping[str, Tool]:
        """Those of the row."""
        return self._tools

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        """Runs a declared tool; the body of the reply is what the model reads."""
        path = f"/{self._tools[name].name}"
        answer = await self._session.post(path, arguments, timeout=self.config.timeout)
        if answer.status in _SICK or answer.lost:
            answer.checked()
        return answer.text

    async def step(self, rollout: Rollout, finish_reason: str) -> list[Message]:
        """Tells the server the last message; the tools' replies and what it observes."""
        message = rollout.messages[-1]
        body = {**self.row, "response": self._response(rollout, [message], finish_reason)}
        if self._idempotent:
            body["_ng_step_request_id"] = uuid.uuid4().hex
        answer = await self._session.post("/step", body, timeout=self.config.timeout)
        found = answer.fields()
        value = found.get("reward", 0.0)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise VerifierError(f"{answer.what} answered the reward {str(value)[:100]!r}")
        info = found.get("info") if isinstance(found.get("info"), dict) else {}
        self.outcome = {
            **self.outcome,
            "reward": self.outcome["reward"] + value,
            "terminated": found.get("terminated") is True,
            "truncated": found.get("truncated") is True,
            "info": info,
        }
        self.truncated = self.outcome["truncated"]
        self.done = self.outcome["terminated"] or self.truncated
        said = _tool_messages(message, info or {})
        if isinstance(observed := found.get("observation"), str) and observed:
            said.append(Message("user", observed))
        return said

    async def teardown(self) -> None:
        """Closes the session, if the server wants it closed."""
        if getattr(self, "_closes", False):
            with suppress(ServerError):  # what was scored stays scored
                await self._session.post("/close", {}, timeout=self.config.timeout)

    @reward
    async def verify(self, rollout: Rollout) -> float:
        """The server's reward."""
        if self.steps:
            return take_result(self.outcome, self.row, rollout, f"{self.url}/step")
        said = rollout.messages[self._opening :]
        reason = rollout.calls[-1].finish_reason if rollout.calls else ""
        body = {**self.row, "response": self._response(rollout, said, reason)}
        answer = await self._session.post("/verify", body, timeout=self.config.verify_timeout)
        try:
            result = answer.fields()
        except ServerError as error:
            if error.retryable:
                raise
            raise VerifierError(error.message, hint=error.hint) from error
        return take_result(result, self.row, rollout, answer.what)

    def _response(
        self, rollout: Rollout, said: list[Message], finish_reason: str
    ) -> dict[str, Any]:
        return response(
            write_items(said),
            name=rollout.id,
            model=rollout.model,
            created=rollout.timing.started,
            finish_reason=finish_reason,
            usage=rollout.usage,
            tools=[tool_item(tool.wire) for tool in self._tools.values()],
        )

    async def _reset(self) -> None:
        answer = await self._server.first(
            self._session, "POST", "/reset", self.row, timeout=self.config.timeout
        )
        found = answer.fields()
        info = found.get("info")
        if isinstance(info, dict):
            self._closes = info.get("supports_explicit_close") is True
            self._idempotent = info.get("supports_step_idempotency") is True
        self._observe(found)

    def _observe(self, found: Any) -> None:
        """Adds what a server has to say at the beginning to the opening messages."""
        observed = found.get("observation") if isinstance(found, dict) else None
        if isinstance(observed, str) and observed:
            messages = [*self.task.messages(), Message("user", observed)]
            self.task = msgspec.structs.replace(self.task, prompt=messages)
            self._opening = len(messages)


def _tool_messages(message: Message, info: Mapping[str, Any]) -> list[Message]:
    """The replies to the calls of a message; a call without one gets an empty one."""
    given = info.get("tool_outputs")
    outputs = {
        str(one.get("call_id")): one.get("output")
        for one in (given if isinstance(given, list) else ())
        if isinstance(one, dict)
    }
    said: list[Message] = []
    for call in message.tool_calls:
        output = outputs.get(call.id, "")
        text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
        said.append(Message("tool", text, tool_call_id=call.id))
    return said


async def _has_steps(server: Server, config: GymConfig) -> bool:
    """Whether the server is reset and stepped; it is asked even if the settings say so."""
    answer = await server.first(
        server.session(), "GET", "/openapi.json", None, timeout=_OPENAPI_TIMEOUT
    )
    if config.flavour != "auto":
        return config.flavour == "gymnasium"
    if answer.status in (401, 403):
        answer.checked()
    parts = urlsplit(server.url)
    place = ""
    at_root = False
    if answer.status == 404 and parts.path.strip("/"):  # one of several, described at the root
        place = parts.path
        at_root = True
        root = Server(f"{parts.scheme}://{parts.netloc}", api_key_env=config.api_key_env)
        try:
            answer = await root.session().send("GET", "/openapi.json", timeout=_OPENAPI_TIMEOUT)
        finally:
            await root.close()
    try:
        paths = answer.fields().get("paths")
    except ServerError:  # it does not describe itself
        return False
    if not isinstance(paths, dict):
        return False
    if at_root and not {f"{place}/seed_session", f"{place}/reset"} & paths.keys():
        _refuse_place(server.url, paths)
    return f"{place}/reset" in paths and f"{place}/step" in paths


def _refuse_place(url: str, paths: Mapping[str, Any]) -> None:
    """A server that describes its environments has none at this path.

    Raises:
        ConfigError: It has others.
    """
    end = "/seed_session"
    there = sorted(path.removesuffix(end) or "/" for path in paths if path.endswith(end))
    if there:
        raise ConfigError(
            f"there is no environment at {url}",
            hint=f"This server has environments at: {', '.join(there)}.",
        )
