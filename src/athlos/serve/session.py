"""One attempt whose model is at the other end of the wire, from its first request to its end.

The engine runs it as it runs any attempt: what goes wrong, a deadline and `teardown` are its
business. What differs is the agent, which waits for the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from athlos.agents.base import Chat
from athlos.agents.tools import execute
from athlos.engine.attempt import Attempts, Job
from athlos.environment import Environment
from athlos.errors import AthlosError, AttemptTimeout, Cancelled
from athlos.models.budget import Budget
from athlos.serve.refused import Refused, blamed, refused
from athlos.serve.rows import Answer, Row
from athlos.serve.walk import walk
from athlos.tools import Tool
from athlos.types import Failure, Message, Rollout

__all__ = ["Called", "Elsewhere", "Router", "Session"]

_OVER = "Error: the attempt is over; no further tool can be called."


class Called(NamedTuple):
    """What came of a call of a tool.

    Attributes:
        text: What the model is told.
        status: To tell it with.
        failed: Whether the call failed.
    """

    text: str
    status: int
    failed: bool


class Elsewhere:
    """Stands for a model that this server does not reach: the client speaks for it."""

    name = "remote"
    version = None
    offers_tools = True
    sampling: Mapping[str, Any] = {}

    def session(self, key: str = "", budget: Budget | None = None) -> Elsewhere:
        """As `Model.session`."""
        return self


class Router:
    """An agent that is, in each attempt, the session which that attempt belongs to."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        """See `Agent.run`."""
        await self.sessions[rollout.id].run(env, model, rollout, sampling)

    def settings(self) -> dict[str, Any]:
        """See `Agent.settings`."""
        return {"name": "session"}


class _Use:
    """See `Session.using`; a class, because a generator costs twice as much."""

    __slots__ = ("_session", "_task", "_users")

    def __init__(self, session: Session, users: dict[asyncio.Task[Any], bool]) -> None:
        self._session = session
        self._users = users

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._users[task] = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._users.pop(self._task):
            return
        # what ran may have kept the cancellation to itself
        if not self._task.uncancel() and isinstance(error, asyncio.CancelledError):
            raise self._session.failed() from None


class Session:
    """An attempt whose tools are called one by one, and which is scored at the end.

    Args:
        name: Its id, which opens it.
        attempts: How the engine makes attempts here; their agent is the router.
        router: Leads the engine to this session.
        row: The task.

    Attributes:
        used: When the client last asked for something, in the loop's time.
        busy: Requests under way.
        opening: Messages that `setup` added to the row's.
        settled: Set when the attempt is over.
    """

    def __init__(self, name: str, attempts: Attempts, router: Router, row: Row) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.row = row
        self.used = loop.time()
        self.busy = 0
        self.opening: list[Message] = []
        self.env: Environment | None = None
        self.executed = self.errors = 0
        self.spoken = 0
        self.spoken_end: tuple[Any, str] | None = None
        self.failure: Refused | None = None
        self._loop = loop
        self._tools: Mapping[str, Tool] = {}
        self._last_row = row
        self._serial = None if attempts.env.parallel_tools else asyncio.Lock()
        self._alone = asyncio.Lock()
        self._calls = 0
        self._users: dict[asyncio.Task[Any], bool] = {}  # whether each was cut off
        self._why = ""
        self._sealed = False
        self._idle: asyncio.Future[None] | None = None
        self._open: asyncio.Future[None] = loop.create_future()
        self._given: asyncio.Future[Answer] = loop.create_future()
        self._job = Job(row.task, 0, row.sample)
        self._job.id = name
        self._router = router
        router.sessions[name] = self
        self.settled = loop.create_task(self._attempt(attempts))
        self.settled.add_done_callback(self._ended)
        self.seed: dict[str, int] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def _attempt(self, attempts: Attempts) -> Rollout | Failure | None:
        try:
            return await attempts.run(self._job)
        except KeyboardInterrupt as error:  # an author's code; it must not end the server
            self._sealed = True
            self.failure = self.failure or refused(blamed("the environment", error))
            return None

    # What the engine asks of an agent

    async def run(
        self, env: Environment, model: Chat, rollout: Rollout, sampling: Mapping[str, Any]
    ) -> None:
        """See `Agent.run`: waits for what the client has to say."""
        self._begin(env, rollout)
        self._open.set_result(None)
        answer = await self._given
        if not self.row.prompted:  # the client said no more of the task when it began
            rollout.messages = [*self._last_row.task.messages(), *self.opening]
        await walk(env, rollout, answer, self.spoken)
        if self.spoken_end is not None and rollout.turns == self.spoken:
            rollout.status, rollout.stop_reason = self.spoken_end
        calls = sum(len(m.tool_calls) for m in rollout.messages if m.role == "assistant")
        # a call that the agent could not read never came here
        rollout.tool_errors = self.errors + max(calls - self.executed, 0)
        rollout.tool_calls = max(calls, self.executed)

    def _begin(self, env: Environment, rollout: Rollout) -> None:
        self.env = env
        self._tools = env.offered_tools()
        given = self.row.task.messages()
        if rollout.messages[: len(given)] == given:
            self.opening = rollout.messages[len(given) :]
        else:
            self.opening = list(rollout.messages)

    def _ended(self, settled: asyncio.Task[Rollout | Failure | None]) -> None:
        del self._router.sessions[self.name]
        self._cut_off()
        for waiting in (self._open, *self._waiting):
            if not waiting.done():
                waiting.set_result(None)

    # What requests ask

    async def open(self) -> None:
        """Waits until `setup` has run.

        Raises:
            Refused: It failed.
        """
        try:
            await self._open
        except BaseException:
            self.give_up("the client did not wait")
            raise
        if self.settled.done():
            raise self.failed()

    @property
    def over(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self._sealed or self.settled.done()

    @property
    def tools(self) -> Mapping[str, Tool]:
        """Those that the task has."""
        return self._tools

    async def call(self, name: str, arguments: str) -> Called:
        """Runs a tool.

        Raises:
            Refused: The attempt is over.
            AthlosError: A judge, a sandbox or a model failed; so has the attempt.
        """
        self._check()
        self.busy += 1
        try:
            with self.using():
                return await self._in_turn(name, arguments)
        finally:
            self._done()

    def using(self) -> _Use:
        """What the current task awaits inside is cut off when the attempt is given up.

        Raises:
            Refused: It was.
        """
        return _Use(self, self._users)

    async def _in_turn(self, name: str, arguments: str) -> Called:
        if self._alone.locked():
            async with self._alone:
                self._check()
        self._calls += 1
        try:
            if self._serial is None:
                return await self._call(name, arguments)
            async with self._serial:
                self._check()
                return await self._call(name, arguments)
        finally:
            self._calls -= 1
            if self._idle is not None and not self._calls and not self._idle.done():
                self._idle.set_result(None)

    async def _call(self, name: str, arguments: str) -> Called:
        env = self.env
        assert env is not None
        if env.done:
            return Called(_OVER, 409, True)
        try:
            text, failed = await execute(env, self._tools, name, arguments)
        except AthlosError as error:
            raise self.fail(error) from error
        except KeyboardInterrupt as error:
            raise self.fail(blamed(f"the tool {name}", error)) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            assert task is not None
            if not task.cancelling():
                raise self.fail(blamed(f"the tool {name}", error)) from error
            if not self._users[task]:
                self.fail(AttemptTimeout(f"the tool {name} did not end in time"))
            raise
        if self.settled.done():
            raise self.failed()
        self.executed += 1
        self.errors += failed
        return Called(text, 200 if name in self._tools else 404, failed)

    async def score(self, answer: Answer, row: Row) -> Rollout:
        """Ends the attempt with its reward.

        Raises:
            Refused: It failed; or it is over.
        """
        self._check()
        self._sealed = True
        await self._enter()
        try:
            if row is not self.row:
                self._last_row = row
                self._update(row)
            self._given.set_result(answer)
            return await self._outcome()
        finally:
            self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Environment]:
        """Waits for the requests under way; others wait meanwhile.

        Raises:
            Refused: The attempt failed, or is over.
        """
        self._check()
        await self._enter()
        try:
            self._check()
            assert self.env is not None
            yield self.env
        finally:
            self._leave()

    async def _enter(self) -> None:
        self.busy += 1
        try:
            await self._alone.acquire()
        except BaseException:
            self._done()
            raise
        try:
            while self._calls:
                self._idle = self._loop.create_future()
                await self._idle
            if self.settled.done():
                raise self.failed()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        self._alone.release()
        self._done()

    def _update(self, row: Row) -> None:
        """A client may know more of the task now than when it began."""
        env, info = self.env, row.task.info
        assert env is not None
        if any(name not in env.task.info or env.task.info[name] != info[name] for name in info):
            merged = type(info)({**env.task.info, **info})
            env.task = msgspec.structs.replace(env.task, info=merged)

    async def _outcome(self) -> Rollout:
        try:
            await self._settled()
        except BaseException:
            self.give_up("it did not end in time")
            raise
        if (rollout := self._scored()) is None:
            raise self.failed()
        return rollout

    def _scored(self) -> Rollout | None:
        """The attempt, if it was scored."""
        if self.settled.cancelled() or self.failure is not None:
            return None
        outcome = self.settled.result()
        return outcome if isinstance(outcome, Rollout) else None

    def fail(self, error: AthlosError) -> Refused:
        """Ends the attempt as failed; returns what to tell the client now and later."""
        if self.failure is None:
            self.failure = refused(error)
        self._sealed = True
        self.give_up(error.message)
        return self.failure

    def give_up(self, reason: str) -> None:
        """Ends the attempt without a reward, if it is under way; `teardown` runs."""
        self._sealed = True
        self._why = self._why or reason
        self._cut_off()
        if self.settled.done() or self._job.gone:
            return
        self._job.give_up(reason)
        if not self._job.gone:
            self.settled.cancel()  # it has not begun: there is nothing to take down

    def _cut_off(self) -> None:
        """Ends what other requests await of the environment."""
        if not self._users:
            return
        current = asyncio.current_task()
        for task, cut in self._users.items():
            if task is not current and not cut:
                self._users[task] = True
                task.cancel()

    async def close(self, reason: str) -> None:
        """Gives it up and waits for `teardown`."""
        self.give_up(reason)
        await self._settled()

    async def _settled(self) -> None:
        """Waits for the end of the attempt, whatever becomes of the one who waits."""
        if not self.settled.done():
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting

    def _check(self) -> None:
        if self.failure is not None or self.settled.done():
            raise self.failed()
        if self._sealed:
            raise Refused(409, "session_over", "the session is being closed, or scored")

    def failed(self) -> Refused:
        """What to say of an attempt that is over."""
        if self.failure is not None:
            return self.failure
        if not self.settled.done():
            return refused(Cancelled(self._why or "the attempt was given up"))
        outcome = None if self.settled.cancelled() else self.settled.result()
        if isinstance(outcome, Failure):
            return refused(outcome)
        return Refused(409, "session_over", "the session has ended")

    def _done(self) -> None:
        self.busy -= 1
        self.used = self._loop.time()
