"""The agent protocol of an environment: this server drives the attempt, with a model of its own.

Source: the NeMo Gym protocol.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from athlos.agents import ToolLoop
from athlos.engine.attempt import Attempts, Job
from athlos.errors import AgentError, AthlosError
from athlos.responses import response, tool_item, write_items
from athlos.serve.dialogue import Dialogue
from athlos.serve.policies import Policies
from athlos.serve.refused import Refused, blamed
from athlos.serve.replays import Answered
from athlos.serve.route import Receive, Request, Route
from athlos.serve.rows import PARAMS, RESPONSE, Row, check_scored, read_fields, read_row, read_value
from athlos.serve.scored import extra, scored
from athlos.serve.session import Session
from athlos.types import Rollout, Task, Timing

if TYPE_CHECKING:
    from athlos.serve.mount import Mount

__all__ = ["AgentEndpoints"]

_encode = msgspec.json.Encoder().encode


class AgentEndpoints:
    """The endpoints at which this server is the agent.

    Args:
        mount: The environment.
        loop: Drives attempts.
        policies: The models.
        deadline: Of attempts.
    """

    def __init__(self, mount: Mount, loop: ToolLoop, policies: Policies, deadline: float) -> None:
        self._mount = mount
        self._env = mount.env
        self._loop = loop
        self._policies = policies
        self._deadline = deadline

    def routes(self) -> dict[tuple[str, str], Route]:
        """The endpoints, by method and path."""
        here, mount = self._mount.prefix, self._mount
        return {
            ("POST", f"{here}/run"): Route(self._run, "/run", None, mount, True),
            ("POST", f"{here}/v1/responses"): Route(
                self._responses, "/v1/responses", self._deadline, mount
            ),
        }

    async def _run(self, request: Request) -> Answered:
        fields = read_fields(request.body)
        if PARAMS not in fields:
            raise Refused(422, "invalid_request", f"`{PARAMS}` is missing")
        row = check_scored(read_row(fields, self._env), self._env)
        attempts, release = await self._with_policy(read_value(fields[PARAMS], PARAMS))
        job = Job(row.task, 0, row.sample)
        watch = None
        try:
            if not request.keyed:  # a client that has gone will not come back for it
                watch = asyncio.ensure_future(_watch(request.receive, job))
            rollout = await self._mount.attempt(attempts, job)
        finally:
            if watch is not None:
                watch.cancel()
            release()
        fields[RESPONSE] = msgspec.Raw(_encode(self._trajectory(rollout, row.task)))
        return scored(fields, extra(rollout), "")

    async def _responses(self, request: Request) -> Answered:
        params = {name: read_value(raw, name) for name, raw in read_fields(request.body).items()}
        row = read_row({PARAMS: msgspec.Raw(request.body)}, self._env)
        if not request.session:
            session = await self._mount.open(
                lambda name, attempts, router: Session(name, attempts, router, row)
            )
            try:
                return await self._speak(session, row, params)
            finally:
                await self._mount.sessions.close(session, "it was for one request")
        session = self._mount.find(request)
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
                session.name, task.id, session.row.sample, self._mount.name, attempts.model.name,
                timing=Timing(started=time.time()),
            )  # fmt: skip
            rollout.messages = [*opening, *session.opening]
            async with session.alone() as env:
                try:
                    sampling = {**row.task.sampling, **attempts.sampling}
                    with session.using():
                        await self._loop.run(env, attempts.model.session(), rollout, sampling)
                except AthlosError as error:
                    raise session.fail(error) from error
                except KeyboardInterrupt as error:
                    raise session.fail(blamed("the environment", error)) from error
                except asyncio.CancelledError as error:
                    here = asyncio.current_task()
                    if here is not None and not here.cancelling():
                        raise session.fail(blamed("the environment", error)) from error
                    session.fail(AgentError("the request was cut off"))
                    raise
            session.spoken += rollout.turns
            session.spoken_end = rollout.status, rollout.stop_reason
            session.executed += rollout.tool_calls
            session.errors += rollout.tool_errors
            return Answered(200, _encode(self._trajectory(rollout, row.task)))
        finally:
            release()

    async def _with_policy(self, params: Mapping[str, Any]) -> tuple[Attempts, Callable[[], None]]:
        """How attempts are made with a model of ours; and what ends its place in the cap."""
        named = params.get("model")
        model = await self._policies.get(named if isinstance(named, str) and named else None)
        release = self._mount.sessions.hold()
        return replace(self._mount.attempts, model=model, sampling=model.sampling), release

    def _trajectory(self, rollout: Rollout, task: Task) -> dict[str, Any]:
        """A response whose output is all that was said after the prompt.

        Token ids of a call, if the policy captures them, stand on its last item.
        """
        prompt = task.messages()
        start = len(prompt) if rollout.messages[: len(prompt)] == prompt else 0
        main = [call for call in rollout.calls if not call.lineage]
        offered = self._env.tools if task.tools is None else task.tools
        return response(
            write_items(
                rollout.messages[start:], {call.prompt_messages - start: call for call in main}
            ),
            name=secrets.token_hex(12),
            model=rollout.model,
            created=rollout.timing.started,
            finish_reason=main[-1].finish_reason if main else "",
            usage=rollout.usage,
            tools=[tool_item(self._env.tools[name].wire) for name in offered],
        )


async def _watch(receive: Receive, job: Job) -> None:
    """Gives an attempt up when its client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    job.give_up("the client has gone")
