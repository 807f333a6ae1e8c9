"""The resources protocol of an environment: sessions, their tools, and scores.

Source: the NeMo Gym protocol, with its flavour of `/seed_session` and `/verify` and that of
`/reset` and `/step`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from athlos.agents import ToolLoop
from athlos.engine.attempt import Job
from athlos.environment import Environment
from athlos.serve.aggregate import aggregate
from athlos.serve.dialogue import Dialogue
from athlos.serve.refused import Refused
from athlos.serve.replays import Answered, Replays
from athlos.serve.route import Handler, Request, Route
from athlos.serve.rows import (
    PARAMS,
    RESPONSE,
    Answer,
    Row,
    check_scored,
    read_answer,
    read_fields,
    read_row,
    read_value,
    signature,
)
from athlos.serve.scored import extra, scored, text
from athlos.serve.session import Session
from athlos.serve.sessions import Closed
from athlos.serve.walk import Replay
from athlos.types import Rollout

if TYPE_CHECKING:
    from athlos.serve.mount import Mount

__all__ = ["RESOURCES", "Resources"]

RESOURCES = ("seed_session", "verify", "aggregate_metrics", "reset", "step", "close")
"""Endpoints of an environment to which something is sent."""

_STEP_ID = "_ng_step_request_id"
_TEXT = b"text/plain; charset=utf-8"
_OK = b'{"status":"ok"}'

_encode = msgspec.json.Encoder().encode


class Resources:
    """The endpoints through which a client, which is the agent, makes attempts.

    Args:
        mount: The environment.
        loop: Drives attempts that go turn by turn.
        replays: Of the server.
        timeout: Of requests.

    Attributes:
        no_tool: What answers, in a session, for a tool that there is not.
    """

    def __init__(self, mount: Mount, loop: ToolLoop, replays: Replays, timeout: float) -> None:
        self.no_tool = Route(self._unknown, "no tool", timeout, mount)
        self._mount = mount
        self._env = env = mount.env
        self._sessions = mount.sessions
        self._loop = loop
        self._replays = replays
        self._timeout = timeout
        stateless = not env.tools and env.reply is Environment.reply
        self._mode = b'"stateless"' if stateless else b'"unknown"'

    def routes(self) -> dict[tuple[str, str], Route]:
        """The endpoints, by method and path. What is not here cannot be asked for."""
        here, limit, mount = self._mount.prefix, self._timeout, self._mount
        made = {
            ("GET", f"{here}/"): Route(self._alive, "/", limit, mount),
            ("GET", f"{here}/reverify_mode"): Route(self._how, "/reverify_mode", limit, mount),
        }
        handlers: dict[str, Handler] = {
            "seed_session": self._begin, "verify": self._verify, "reset": self._reset,
            "step": self._step, "close": self._close, "aggregate_metrics": self._aggregate,
        }  # fmt: skip
        for name, handler in handlers.items():
            begins = name in ("seed_session", "reset")
            made["POST", f"{here}/{name}"] = Route(handler, f"/{name}", limit, mount, begins)
        for name in self._env.tools:
            handler = partial(self._tool, name)
            made["POST", f"{here}/{name}"] = Route(handler, "tool", limit, mount)
        return made

    # Sessions, their tools, and their scores

    async def _alive(self, request: Request) -> Answered:
        return Answered(200, _OK)

    async def _how(self, request: Request) -> Answered:
        return Answered(200, self._mode)

    async def _begin(self, request: Request) -> Answered:
        fields = read_fields(request.body or b"{}")
        row = read_row(fields, self._env, needs_prompt=False)
        await self._mount.supersede(request)
        session = await self._mount.open(
            lambda name, attempts, router: Session(name, attempts, router, row)
        )
        session.seed = signature(fields)
        body = b"{}"
        if session.opening:  # what `setup` has to say; the row does not have it
            body = _encode({"observation": text(session.opening)})
        return Answered(200, body, session=session.name, fresh=True)

    async def _tool(self, name: str, request: Request) -> Answered:
        session = self._mount.find(request)
        if isinstance(session, Dialogue):
            raise Refused(409, "wrong_flavour", "this session goes by /step, which runs the tools")
        try:
            arguments = request.body.decode()
        except UnicodeDecodeError:
            raise Refused(400, "invalid_json", "the body is not UTF-8") from None
        said, status, _ = await session.call(name, arguments)
        return Answered(status, said.encode(), _TEXT, session.name)

    async def _unknown(self, request: Request) -> Answered:
        return await self._tool(request.path.rpartition("/")[2], request)

    async def _verify(self, request: Request) -> Answered:
        fields = read_fields(request.body)
        if PARAMS not in fields:
            raise Refused(422, "invalid_request", f"`{PARAMS}` is missing")
        answer = read_answer(fields)
        if not request.session:
            row = check_scored(read_row(fields, self._env), self._env)
            rollout = await self._replay(row, answer)
            return scored(fields, extra(rollout), "")
        found = self._sessions.get(request.session)
        signed = hash(request.body)
        if isinstance(found, Closed) and found.signed == signed:
            return scored(fields, found.added, request.session)
        session = self._mount.find(request)
        if isinstance(session, Dialogue):
            raise Refused(409, "wrong_flavour", "this session goes by /step, which has the reward")
        row = session.row if signature(fields) == session.seed else read_row(fields, self._env)
        check_scored(row, self._env)
        try:
            added = extra(await session.score(answer, row))
            self._sessions.forget(session, Closed("it has been scored", signed, added))
        except Refused:
            if session.settled.done():
                self._sessions.forget(session, Closed("it failed", failure=session.failed()))
            raise
        return scored(fields, added, session.name)

    async def _replay(self, row: Row, answer: Answer) -> Rollout:
        """Scores a conversation of which nothing happened here."""
        release = self._sessions.hold()
        try:
            attempts = replace(self._mount.attempts, agent=Replay(answer))
            return await self._mount.attempt(attempts, Job(row.task, 0, row.sample))
        finally:
            release()

    async def _aggregate(self, request: Request) -> Answered:
        try:
            given = read_value(read_fields(request.body)["verify_responses"], "verify_responses")
            rows = msgspec.convert(given, list[dict[str, Any]])
        except (KeyError, msgspec.ValidationError):
            said = "`verify_responses` must be a list of objects"
            raise Refused(422, "invalid_request", said) from None
        return Answered(200, _encode(aggregate(rows)))

    async def _close(self, request: Request) -> Answered:
        if not isinstance(self._sessions.get(request.session), Closed):
            await self._sessions.close(self._mount.find(request), "the client closed it")
        return Answered(200, b"{}")

    # Turn by turn

    async def _reset(self, request: Request) -> Answered:
        row = check_scored(read_row(read_fields(request.body), self._env), self._env)
        await self._mount.supersede(request)
        session = await self._mount.open(
            lambda name, attempts, router: Dialogue(name, attempts, router, row, self._loop)
        )
        info = {"supports_explicit_close": True, "supports_step_idempotency": True}
        value = {"observation": text(session.opening), "info": info}
        return Answered(200, _encode(value), session=session.name, fresh=True)

    async def _step(self, request: Request) -> Answered:
        fields = read_fields(request.body)
        answer = read_answer(fields)
        key = fields.get(_STEP_ID)
        if key is None or not request.session:
            return await self._take_step(request, answer)
        return await self._replays.once(
            (request.session, _STEP_ID, bytes(key).decode()),
            bytes(fields[RESPONSE]),
            partial(self._take_step, request, answer),
        )

    async def _take_step(self, request: Request, answer: Answer) -> Answered:
        session = self._mount.find(request)
        if not isinstance(session, Dialogue):
            raise Refused(
                409, "wrong_flavour", "this session is scored by /verify; begin by /reset"
            )
        try:
            turn = await session.step(answer)
        finally:
            if session.settled.done():
                self._sessions.forget(session, Closed("it has ended", failure=session.failure))
        outputs = [m for m in turn.messages if m.role == "tool"]
        others = [m for m in turn.messages if m.role != "tool"]
        info: dict[str, Any] = {}
        if outputs:
            info["tool_outputs"] = [
                {"call_id": m.tool_call_id or "", "output": m.text} for m in outputs
            ]
        rollout = turn.rollout
        if rollout is not None:
            info |= {"stop_reason": rollout.stop_reason, "reward_components": rollout.rewards,
                     "metrics": rollout.metrics}  # fmt: skip
        value = {
            "observation": text(others),
            "reward": rollout.reward if rollout is not None else 0.0,
            "terminated": rollout is not None and rollout.status == "completed",
            "truncated": rollout is not None and rollout.status == "truncated",
            "info": info,
        }
        return Answered(200, _encode(value), session=session.name)
