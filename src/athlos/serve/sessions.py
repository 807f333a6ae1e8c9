"""The sessions of a server: unguessable names, a cap, leases, and what is known of those gone."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct

from athlos.engine.garbage import collect_garbage
from athlos.serve.refused import Refused
from athlos.serve.session import Session

__all__ = ["Closed", "Sessions"]

_log = logging.getLogger(__name__)
_BUSY = (b"retry-after", b"5")
_REMEMBERED = 4  # times the cap
S = TypeVar("S", bound=Session)


class Closed(Struct, gc=False):
    """What is kept of a session that is over: little, for there are many.

    Attributes:
        why: For a client that comes back to it.
        signed: Of the body of the request that scored it.
        added: Fields, as JSON, that scoring added to it, so that it can be answered again.
        failure: What the client was told, if the attempt failed.
    """

    why: str
    signed: int | None = None
    added: bytes = b""
    failure: Refused | None = None


class Sessions:
    """All of one server process.

    Args:
        cap: How many there may be at once.
        lease: Seconds after which a session that nobody uses is closed.
        prefix: Of their names; says which process has them.

    Attributes:
        opened: How many there ever were.
        reaped: How many nobody had used any more.
        refused: How many were not opened because there were too many.
    """

    def __init__(self, cap: int, lease: float, prefix: str = "") -> None:
        self.opened = self.reaped = self.refused = 0
        self.draining = False
        self._cap = cap
        self._lease = lease
        self._prefix = prefix
        self._live: dict[str, Session] = {}
        self._gone: OrderedDict[str, Closed] = OrderedDict()
        self._extra = 0

    def __len__(self) -> int:
        return len(self._live) + self._extra

    @property
    def live(self) -> list[Session]:
        """Those that are open."""
        return list(self._live.values())

    def admit(self) -> None:
        """Checks that there is room for one more.

        Raises:
            Refused: There is not, or the server is about to end.
        """
        if self.draining:
            self.refused += 1
            raise Refused(
                503, "draining", "the server is shutting down", failure_class="cancelled",
                retryable=True, headers=(_BUSY,),
            )  # fmt: skip
        if len(self) >= self._cap:
            self.refused += 1
            raise Refused(
                503, "too_many_sessions", f"there are {self._cap} sessions already",
                failure_class="refused", retryable=True, headers=(_BUSY,),
            )  # fmt: skip

    def new_name(self) -> str:
        """A name that nobody guesses."""
        return self._prefix + secrets.token_hex(20)

    async def open(self, make: Callable[[str], S]) -> S:
        """Opens one; it is there when `setup` has run.

        Raises:
            Refused: There are too many, or `setup` failed.
        """
        self.admit()
        self._extra += 1
        try:
            session = make(self.new_name())
            await session.open()
        finally:
            self._extra -= 1
        self._live[session.name] = session
        self.opened += 1
        return session

    def hold(self) -> Callable[[], None]:
        """Counts an attempt that is no session against the cap; returns what ends that.

        Raises:
            Refused: There is no room.
        """
        self.admit()
        self._extra += 1

        def release() -> None:
            self._extra -= 1

        return release

    def get(self, name: str) -> Session | Closed | None:
        """The session of that name, or what is known of it."""
        return self._live.get(name) or self._gone.get(name)

    def forget(self, session: Session, closed: Closed) -> None:
        """A session is over; what is kept of it answers those who come back."""
        if self._live.pop(session.name, None) is None:
            return
        self._gone[session.name] = closed
        while len(self._gone) > _REMEMBERED * self._cap:
            self._gone.popitem(last=False)

    async def close(self, session: Session, why: str) -> None:
        """Closes one, and waits for its `teardown`."""
        self.forget(session, Closed(why, failure=session.failure))
        await session.close(why)

    async def reap(self) -> None:
        """Closes those that nobody uses any more, for ever."""
        closing: set[asyncio.Task[None]] = set()
        try:
            while True:
                await asyncio.sleep(min(self._lease / 4, 5.0))
                self._sweep(closing)
                collect_garbage()  # here, for no request should wait for it
        finally:
            for task in closing:
                with suppress(asyncio.CancelledError):
                    await task

    def _sweep(self, closing: set[asyncio.Task[None]]) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._lease
        for session in self.live:
            if session.settled.done() and not session.busy:
                # its own deadline ended it
                self.forget(session, Closed(_end(session), failure=session.failure))
            elif not session.busy and session.used < oldest:
                self.reaped += 1
                task = loop.create_task(self.close(session, "its lease ended"))
                closing.add(task)
                task.add_done_callback(closing.discard)

    async def close_all(self, why: str) -> None:
        """Closes every one; all have been taken down afterwards."""
        await asyncio.gather(
            *(self.close(session, why) for session in self.live), return_exceptions=True
        )


def _end(session: Session) -> str:
    return "its time was up" if session.failure is None else session.failure.message
