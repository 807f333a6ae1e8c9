"""What happens to an outcome: it is written, put on the disk, counted, and only then handed out.

Outcomes of a few milliseconds are written together. What was handed out and is not on the
disk yet is at risk if the machine crashes (a kill of the process takes nothing that was written);
the recorder holds outcomes back rather than letting that be more than `limit`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from athlos.engine.attempt import as_failure
from athlos.errors import ConfigError, EnvError
from athlos.runs.folder import RunFolder, encode
from athlos.types import Failure, Message, Rollout

__all__ = ["AT_RISK", "Recorder"]

AT_RISK = 256
"""Records that a crash of the machine may take; none if the run is durable."""
_INTERVAL = 1.0
_FULL = 128  # outcomes that are not kept waiting for more
_GATHER = 0.02  # seconds in which outcomes are gathered: together they cost a fraction


class Recorder:
    """Writes outcomes and hands them out, in order.

    Args:
        folder: Where to write; None hands out at once.
        durable: Hand nothing out that is not on the disk.
        texts: Whether rollouts are handed out with their messages. If nobody reads them, they need
            not be in memory while the disk is waited for.
        hand_out: Gets the number of the task and each outcome, once.
        fail: Called with the reason when the folder cannot be written any more.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        hand_out: Callable[[int, Rollout | Failure], None],
        fail: Callable[[ConfigError], None],
        *,
        durable: bool = False,
        texts: bool = True,
    ) -> None:
        self._folder = folder
        self._hand_out = hand_out
        self._fail = fail
        self._limit = 0 if durable else AT_RISK
        self._texts = texts
        self._batch: list[tuple[int, Rollout | Failure, bytes | None]] = []
        self._held: deque[Callable[[], None] | tuple[int, Rollout | Failure]] = deque()
        self._written = 0  # outcomes that are in the file
        self._safe = 0  # ... and on the disk
        self._out = 0  # ... and handed out
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._syncer: asyncio.Task[None] | None = None
        self._closing = False
        self._failed = False

    def keep(self, number: int, outcome: Rollout | Failure) -> None:
        """Takes the outcome of an attempt at a task.

        What is written and handed out is a failure if the environment put something into a rollout
        that no record can hold.
        """
        self._add(number, outcome, None)

    def settle(self, number: int, outcome: Rollout | Failure) -> Rollout | Failure:
        """As `keep`; returns what will be written, for those who cannot wait."""
        line = None
        if self._folder is not None:
            outcome, line = _encode(outcome)
        self._add(number, outcome, line)
        return outcome

    def then(self, call: Callable[[], None]) -> None:
        """Calls something after everything that was kept until now has been handed out."""
        if self._folder is None:
            call()
        else:
            self._flush()
            if not self._failed:
                self._held.append(call)
                self._release()

    def _add(self, number: int, outcome: Rollout | Failure, line: bytes | None) -> None:
        if self._folder is None:
            self._hand_out(number, outcome)
            return
        if not self._batch:
            asyncio.get_running_loop().call_later(_GATHER, self._flush)
        self._batch.append((number, outcome, line))
        if len(self._batch) >= _FULL:
            self._flush()

    def _flush(self) -> None:
        kept, self._batch = self._batch, []
        if not kept or self._folder is None or self._failed:
            return
        batch = [
            (number, *_encode(outcome)) if line is None else (number, outcome, line)
            for number, outcome, line in kept
        ]
        try:
            self._folder.add(batch)
        except ConfigError as error:
            self._broken(error)
            return
        self._written += len(batch)
        for number, outcome, _ in batch:
            if not self._texts and isinstance(outcome, Rollout):
                outcome.messages = []
            self._held.append((number, outcome))
        self._release()
        if self._written - self._safe >= max(self._limit, 1):
            self._wanted.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._wanted.set)
        if self._syncer is None:
            self._syncer = asyncio.create_task(self._sync())

    def _release(self) -> None:
        """Hands out what may be."""
        while self._held and not self._failed:
            first = self._held[0]
            if callable(first):
                self._held.popleft()
                first()
            elif self._out < self._safe + self._limit:
                self._held.popleft()
                self._out += 1
                self._hand_out(*first)
            else:
                return

    async def _sync(self) -> None:
        assert self._folder is not None
        loop = asyncio.get_running_loop()
        while not (self._closing and self._safe == self._written):
            await self._wanted.wait()
            self._wanted.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            written = self._written
            try:
                await loop.run_in_executor(None, self._folder.sync)
            except ConfigError as error:
                self._broken(error)
                return
            self._safe = written
            self._release()
            if self._closing or self._written - self._safe >= max(self._limit, 1):
                self._wanted.set()

    async def close(self) -> None:
        """Writes, syncs and hands out what is left."""
        self._flush()
        self._closing = True
        self._wanted.set()
        if self._syncer is not None:
            await self._syncer

    def _broken(self, error: ConfigError) -> None:
        self._failed = True
        self._fail(error)


def _encode(outcome: Rollout | Failure) -> tuple[Rollout | Failure, bytes]:
    """The outcome and its line; a failure if the environment put into it what no record holds."""
    try:
        return outcome, encode(outcome)
    except (TypeError, ValueError, RecursionError) as error:
        reason = EnvError(f"the record cannot be written so that it can be read again: {error}")
    if isinstance(outcome, Rollout):
        outcome = as_failure(outcome, reason)
    outcome.messages = [message for message in outcome.messages if _readable(message)]
    return outcome, encode(outcome)


def _readable(message: Message) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(message), type=Message)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
