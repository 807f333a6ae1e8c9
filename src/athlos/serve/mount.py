"""One environment on the wire: its endpoints, its sessions, and its attempts under way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

from athlos.agents import ToolLoop
from athlos.engine.attempt import Attempts, Job
from athlos.engine.pool import ProcessPool
from athlos.engine.shared import enter_shared, sandboxes_for
from athlos.environment import Environment
from athlos.errors import ConfigError
from athlos.models.client import Model
from athlos.serve.agent import AgentEndpoints
from athlos.serve.mcp import ToolEndpoint
from athlos.serve.policies import Policies
from athlos.serve.refused import Refused, refused
from athlos.serve.replays import Replays
from athlos.serve.resources import RESOURCES, Resources
from athlos.serve.route import Request, Route
from athlos.serve.session import Elsewhere, Router, Session
from athlos.serve.sessions import Closed, Sessions
from athlos.timeouts import time_limit
from athlos.types import Failure, Rollout

__all__ = ["Mount"]

_RESERVED = frozenset({*RESOURCES, "run", "mcp"})
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_LAST = 65.0  # seconds for `teardown`
_LOOK = 0.02  # seconds
S = TypeVar("S", bound=Session)


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
        sandbox: Where sandboxes come from.
        cap: Attempts that have one at once.

    Attributes:
        cookie: Name of the cookie that carries a session.
        no_tool: What answers, in a session, for a tool that there is not.
        mcp: The tools, for clients of that protocol.
        has_agent: Whether attempts can be driven here.
        sessions: Of the server.
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
        sandbox: str = "auto",
        cap: int = 64,
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
        self.sessions = sessions
        self.jobs: dict[Job, None] = {}
        self._reference = reference
        self._config = config
        self._models = models
        self._loop = loop
        self._seed = seed
        self._deadline = deadline
        self._sandboxes = sandboxes_for(env, config, sandbox, size=cap, deadline=deadline)
        self._attempts: Attempts | None = None
        self._routed: Attempts | None = None
        self._router = Router()
        self._resources = Resources(self, loop, replays, timeout)
        self.no_tool = self._resources.no_tool
        self.mcp = ToolEndpoint(self, timeout)
        self._agent = None
        if policies is not None:
            self._agent = AgentEndpoints(self, loop, policies, deadline)
        self.has_agent = self._agent is not None

    async def start(self, stack: AsyncExitStack) -> None:
        """Takes what the attempts share, until the stack is closed."""
        pool = None
        if any(scorer.process for scorer in self.env.scorers):
            pool = ProcessPool(self._reference)
            stack.push_async_callback(pool.close)
        sandboxes = self._sandboxes
        if sandboxes is not None:
            stack.push_async_callback(sandboxes.close)
            await sandboxes.start()
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
            sandboxes=sandboxes,
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
        made = self._resources.routes() | self.mcp.routes()
        if self._agent is not None:
            made |= self._agent.routes()
        return made

    # Sessions

    async def open(self, make: Callable[[str, Attempts, Router], S]) -> S:
        """Opens a session; it is there when `setup` has run.

        Args:
            make: Makes it, from its name, how attempts are made, and what leads the engine to it.

        Raises:
            Refused: There are too many, or `setup` failed.
        """
        assert self._routed is not None, "start() comes first"
        attempts, router = self._routed, self._router
        return await self.sessions.open(lambda name: make(name, attempts, router))

    def find(self, request: Request) -> Session:
        """The session that a request is for.

        Raises:
            Refused: There is none, or it is over.
        """
        found = self.sessions.get(request.session) if request.session else None
        if isinstance(found, Session) and type(found.env) is self.env:
            return found
        if isinstance(found, Closed):
            if found.failure is not None:
                raise found.failure
            raise Refused(410, "session_over", f"the session is over: {found.why}")
        if not request.session:
            said = "this needs a session: POST /seed_session first, and send its cookie back"
            raise Refused(404, "no_session", said)
        raise Refused(404, "no_such_session", "there is no such session here")

    def knows(self, session: str) -> bool:
        """Whether there is, or was, a session of that name."""
        return self.sessions.get(session) is not None

    async def supersede(self, request: Request) -> None:
        """A client that begins anew with the cookie of a session has no more use for that one."""
        if request.cookie and isinstance(found := self.sessions.get(request.session), Session):
            await self.sessions.close(found, "its client began another one")

    # Attempts that are no sessions

    @property
    def attempts(self) -> Attempts:
        """How attempts are made here; nobody speaks for their model."""
        assert self._attempts is not None, "start() comes first"
        return self._attempts

    async def attempt(self, attempts: Attempts, job: Job) -> Rollout:
        """Makes an attempt.

        Raises:
            Refused: It failed.
        """
        self.jobs[job] = None
        try:
            outcome = await attempts.run(job)
        finally:
            del self.jobs[job]
        if isinstance(outcome, Failure):
            raise refused(outcome)
        return outcome
