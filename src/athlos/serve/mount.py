"""One environment on the wire: what each of its endpoints does."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast

import msgspec

from athlos.agents import ToolLoop
from athlos.engine.attempt import Attempts, Job
from athlos.engine.pool import ProcessPool
from athlos.engine.shared import enter_shared
from athlos.environment import Environment
from athlos.errors import AgentError, AthlosError, ConfigError
from athlos.models.client import Model
from athlos.responses import response, tool_item, write_items
from athlos.serve.aggregate import aggregate
from athlos.serve.dialogue import Dialogue
from athlos.serve.policies import Policies
from athlos.serve.refused import Refused, refused
from athlos.serve.replays import Answered, Replays
from athlos.serve.route import Handler, Receive, Request, Route
from athlos.serve.rows import (
    PARAMS,
    RESPONSE,
    Answer,
    Row,
    read_answer,
    read_fields,
    read_row,
    read_value,
    signature,
)
from athlos.serve.scored import extra, scored, text
from athlos.serve.session import Elsewhere, Router, Session
from athlos.serve.sessions import Closed, Sessions
from athlos.serve.walk import Replay
from athlos.timeouts import time_limit
from athlos.types import Failure, Message, Rollout, Timing

__all__ = ["Mount"]

POSTS = ("seed_session", "verify", "aggregate_metrics", "reset", "step", "close")
_RESERVED = frozenset({*POSTS, "run", "mcp"})
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_STEP_ID = "_ng_step_request_id"
_LAST = 65.0  # seconds for `teardown`
_LOOK = 0.02  # seconds
_TEXT = b"text/plain; charset=utf-8"
_OK = b'{"status":"ok"}'

_encode = msgspec.json.Encoder().encode


class Mount:
    """An environment and its endpoints.

    Args:
        env: The environment.
        reference: What it was loaded from.
        config: Its settings.
        prefix: Of its paths: "" or `/<name>`.
        sessions: Of the server.
        replays: Of the server.
        models: By role.
        policies: The models of `/run`; None if there are none.
        loop: Drives attempts.
        seed: Of attempts.
        deadline: Of attempts.
        timeout: Of requests.

    Attributes:
        cookie: Name of the cookie that carries a session.
        no_tool: What answers, in a session, for a tool that there is not.
        jobs: Attempts under way that are no sessions.

    Raises:
        ConfigError: A tool has the name of an endpoint.
    """

    def __init__(
        self,
        env: type[Environment],
        reference: str | type[Environment],
        config: Any,
        *,
        prefix: str,
        sessions: Sessions,
        replays: Replays,
        models: Mapping[str, Model],
        policies: Policies | None,
        loop: ToolLoop,
        seed: int | None,
        deadline: float,
        timeout: float,
    ) -> None:
        for name in env.tools:
            if name in _RESERVED or "/" in name:
                raise ConfigError(
                    f"{env.name} cannot be served: its tool {name!r} has the name of an endpoint",
                    hint="@tool(name=...) gives it another one.",
                )
        self.env = env
        self.name = env.name
        self.prefix = prefix
        self.cookie = _UNSAFE.sub("_", f"{env.__name__}___{env.name}").encode()
        self.has_agent = policies is not None
        self.jobs: dict[Job, None] = {}
        self._reference = reference
        self._config = config
        self._sessions = sessions
        self._replays = replays
        self._models = models
        self._policies = policies
        self._loop = loop
        self._seed = seed
        self._deadline = deadline
        self._timeout = timeout
        self._attempts: Attempts | None = None
        self._router = Router()
        self._routed: Any = None
        stateless = not env.tools and env.reply is Environment.reply
        self.no_tool = Route(self._unknown, "no tool", timeout, self)
        self._mode = b'"stateless"' if stateless else b'"unknown"'

    async def start(self, stack: AsyncExitStack) -> None:
        """Takes what the attempts share, until the stack is closed."""
        pool = None
        if any(scorer.process for scorer in self.env.scorers):
            pool = ProcessPool(self._reference)
            stack.push_async_callback(pool.close)
        self._attempts = Attempts(
            env=self.env,
            config=self._config,
            shared=await enter_shared(self.env, self._config, stack),
            models=self._models,
            model=cast(Model, Elsewhere()),
            agent=self.env.own_agent(self._loop),
            sampling={},
            seed=self._seed,
            deadline=self._deadline,
            pool=pool,
        )
        self._routed = replace(self._attempts, agent=self._router)

    async def close(self, why: str) -> None:
        """Gives every attempt up, and waits until all have been taken down."""
        for job in list(self.jobs):
            job.give_up(why)
        sessions = list(self._router.sessions.values())
        await asyncio.gather(*(session.close(why) for session in sessions), return_exceptions=True)
        with suppress(TimeoutError), time_limit(_LAST):
            while self.jobs:  # noqa: ASYNC110 - once
                await asyncio.sleep(_LOOK)

    def routes(self) -> dict[tuple[str, str], Route]:
        """Its endpoints, by method and path. What is not here cannot be asked for."""
        here, limit = self.prefix, self._timeout
        made = {
            ("GET", f"{here}/"): Route(self._alive, "/", limit, self),
            ("GET", f"{here}/reverify_mode"): Route(self._how, "/reverify_mode", limit, self),
        }
        handlers: dict[str, Handler] = {
            "seed_session": self._begin, "verify": self._verify, "reset": self._reset,
            "step": self._step, "close": self._close, "aggregate_metrics": self._aggregate,
        }  # fmt: skip
        for name, handler in handlers.items():
            begins = name in ("seed_session", "reset")
            made["POST", f"{here}/{name}"] = Route(handler, f"/{name}", limit, self, begins)
        if self.has_agent:
            made["POST", f"{here}/run"] = Route(self._run, "/run", None, self, True)
            made["POST", f"{here}/v1/responses"] = Route(
                self._responses, "/v1/responses", self._deadline, self
            )
        for name in self.env.tools:
            handler = partial(self._tool, name)
            made["POST", f"{here}/{name}"] = Route(handler, "tool", limit, self)
        return made

    def knows(self, session: str) -> bool:
        """Whether there is, or was, a session of that name."""
        return self._sessions.get(session) is not None

    # The resources protocol

    async def _alive(self, request: Request) -> Answered:
        return Answered(200, _OK)

    async def _how(self, request: Request) -> Answered:
        return Answered(200, self._mode)

    async def _begin(self, request: Request) -> Answered:
        fields = read_fields(request.body or b"{}")
        row = read_row(fields, self.env, needs_prompt=False)
        await self._replace(request)
        session = await self._sessions.open(
            lambda name: Session(name, self._routed, self._router, row)
        )
        session.seed = signature(fields)
        body = b"{}"
        if session.opening:  # what `setup` has to say; the row does not have it
            body = _encode({"observation": text(session.opening)})
        return Answered(200, body, session=session.name, fresh=True)

    async def _tool(self, name: str, request: Request) -> Answered:
        session = self._find(request)
        if isinstance(session, Dialogue):
            raise Refused(409, "wrong_flavour", "this session goes by /step, which runs the tools")
        try:
            arguments = request.body.decode()
        except UnicodeDecodeError:
            raise Refused(400, "invalid_json", "the body is not UTF-8") from None
        said, status = await session.call(name, arguments)
        return Answered(status, said.encode(), _TEXT, session.name)

    async def _unknown(self, request: Request) -> Answered:
        return await self._tool(request.path.rpartition("/")[2], request)

    async def _verify(self, request: Request) -> Answered:
        fields = read_fields(request.body)
        if PARAMS not in fields:
            raise Refused(422, "invalid_request", f"`{PARAMS}` is missing")
        answer = read_answer(fields)
        if not request.session:
            rollout = await self._replay(read_row(fields, self.env), answer)
            return scored(fields, extra(rollout), "")
        found = self._sessions.get(request.session)
        signed = signature(fields)
        if isinstance(found, Closed) and found.signed == signed:
            return scored(fields, found.extra, request.session)
        session = self._find(request)
        if isinstance(session, Dialogue):
            raise Refused(409, "wrong_flavour", "this session goes by /step, which has the reward")
        same = {name: value for name, value in signed.items() if name != RESPONSE} == session.seed
        row = session.row if same else read_row(fields, self.env)
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
            attempts = replace(self._all, agent=Replay(answer))
            return await self._attempt(attempts, Job(row.task, 0, row.sample))
        finally:
            release()

    async def _attempt(self, attempts: Attempts, job: Job) -> Rollout:
        self.jobs[job] = None
        try:
            outcome = await attempts.run(job)
        finally:
            del self.jobs[job]
        if isinstance(outcome, Failure):
            raise refused(outcome)
        return outcome

    async def _aggregate(self, request: Request) -> Answered:
        try:
            given = read_value(read_fields(request.body)["verify_responses"], "verify_responses")
            rows = msgspec.convert(given, list[dict[str, Any]])
        except (KeyError, msgspec.ValidationError):
            said = "`verify_responses` must be a list of objects"
            raise Refused(422, "invalid_request", said) from None
        return Answered(200, _encode(aggregate(rows)))

    async def _close(self, request: Request) -> Answered:
        found = self._sessions.get(request.session) if request.session else None
        if found is None:
            raise _no_session(request)
        if isinstance(found, Session):
            await self._sessions.close(found, "the client closed it")
        return Answered(200, b"{}")

    # Turn by turn

    async def _reset(self, request: Request) -> Answered:
        row = read_row(read_fields(request.body), self.env)
        await self._replace(request)
        session = await self._sessions.open(
            lambda name: Dialogue(name, self._routed, self._router, row, self._loop)
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
        session = self._find(request)
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

    # The agent protocol

    async def _run(self, request: Request) -> Answered:
        fields = read_fields(request.body)
        if PARAMS not in fields:
            raise Refused(422, "invalid_request", f"`{PARAMS}` is missing")
        row = read_row(fields, self.env)
        attempts, release = await self._with_policy(read_value(fields[PARAMS], PARAMS))
        job = Job(row.task, 0, row.sample)
        watch = None
        try:
            if not request.keyed:  # a client that has gone will not come back for it
                watch = asyncio.ensure_future(_watch(request.receive, job))
            rollout = await self._attempt(attempts, job)
        finally:
            if watch is not None:
                watch.cancel()
            release()
        fields[RESPONSE] = msgspec.Raw(_encode(self._trajectory(rollout, row.task.messages())))
        return scored(fields, extra(rollout), "")

    async def _responses(self, request: Request) -> Answered:
        params = {name: read_value(raw, name) for name, raw in read_fields(request.body).items()}
        row = read_row({PARAMS: msgspec.Raw(request.body)}, self.env)
        if not request.session:
            session = await self._sessions.open(
                lambda name: Session(name, self._routed, self._router, row)
            )
            try:
                return await self._speak(session, row, params)
            finally:
                await self._sessions.close(session, "it was for one request")
        session = self._find(request)
        if isinstance(session, Dialogue):
            raise Refused(409, "wrong_flavour", "this session goes by /step")
        answered = await self._speak(session, row, params)
        return answered._replace(session=session.name)

    async def _speak(self, session: Session, row: Row, params: Mapping[str, Any]) -> Answered:
        """Lets the policy talk with the environment of a session, which is scored by /verify."""
        attempts, release = await self._with_policy(params)
        try:
            opening = row.task.messages()
            task = session.row.task
            rollout = Rollout(
                session.name, task.id, session.row.sample, self.name, attempts.model.name,
                timing=Timing(started=time.time()),
            )  # fmt: skip
            rollout.messages = [*opening, *session.opening]
            async with session.alone() as env:
                try:
                    sampling = {**row.task.sampling, **attempts.sampling}
                    await self._loop.run(env, attempts.model.session(), rollout, sampling)
                except AthlosError as error:
                    raise session.fail(error) from error
                except asyncio.CancelledError:
                    session.fail(AgentError("the request was cut off"))
                    raise
            session.spoken += rollout.turns
            session.spoken_end = rollout.status, rollout.stop_reason
            session.executed += rollout.tool_calls
            session.errors += rollout.tool_errors
            return Answered(200, _encode(self._trajectory(rollout, opening)))
        finally:
            release()

    async def _with_policy(self, params: Mapping[str, Any]) -> tuple[Attempts, Callable[[], None]]:
        """How attempts are made with a model of ours; and what ends its place in the cap."""
        assert self._policies is not None
        named = params.get("model")
        model = await self._policies.get(named if isinstance(named, str) and named else None)
        release = self._sessions.hold()
        return replace(self._all, model=model, sampling=model.sampling), release

    def _trajectory(self, rollout: Rollout, prompt: list[Message]) -> dict[str, Any]:
        """A response whose output is all that was said after the prompt."""
        start = len(prompt) if rollout.messages[: len(prompt)] == prompt else 0
        calls = {call.prompt_messages - start: call for call in rollout.calls}
        return response(
            write_items(rollout.messages[start:], calls),
            name=secrets.token_hex(12),
            model=rollout.model,
            created=rollout.timing.started,
            finish_reason=rollout.calls[-1].finish_reason if rollout.calls else "",
            usage=rollout.usage,
            tools=[tool_item(tool.wire) for tool in self.env.tools.values()],
        )

    # What they have in common

    @property
    def _all(self) -> Attempts:
        assert self._attempts is not None, "start() comes first"
        return self._attempts

    def _find(self, request: Request) -> Session:
        if not request.session:
            raise _no_session(request)
        found = self._sessions.get(request.session)
        if isinstance(found, Session) and type(found.env) is self.env:
            return found
        if isinstance(found, Closed):
            if found.failure is not None:
                raise found.failure
            raise Refused(410, "session_over", f"the session is over: {found.why}")
        raise _no_session(request)

    async def _replace(self, request: Request) -> None:
        """A client that begins anew with the cookie of a session has no more use for that one."""
        if request.cookie and isinstance(found := self._sessions.get(request.session), Session):
            await self._sessions.close(found, "its client began another one")


def _no_session(request: Request) -> Refused:
    if not request.session:
        said = "this needs a session: POST /seed_session first, and send its cookie back"
        return Refused(404, "no_session", said)
    return Refused(404, "no_such_session", "there is no such session here")


async def _watch(receive: Receive, job: Job) -> None:
    """Gives an attempt up when its client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    job.give_up("the client has gone")
