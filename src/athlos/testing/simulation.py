"""Deterministic simulation: asyncio with a clock that jumps and an order that a seed decides.

`simulate` runs a coroutine on an event loop of its own. When nothing is left to do at one instant,
the clock jumps to the next timer, so that an hour of waiting costs nothing.

What asyncio promises is kept: callbacks of `call_soon` run in their order, timers in the order of
their times. What it leaves open is drawn from the seed, and so differs between seeds:

* in which order timers of the same instant fire;
* in which order answers from outside arrive (those of `FakeTransport`, and results of
  `asyncio.to_thread`), and on which side of a timer that is due at about the same time;
* when the loop is late, as one with much to do: a timer may fire up to a millisecond late, together
  with what became due meanwhile.

The same seed gives the same run. `SimulatedLoop.trace` is a hash of it that two runs can compare.
Three things are outside of this: clocks of the machine (`time.monotonic()` goes on as ever; ask
`loop.time()`), random numbers that nobody seeded, and threads that code starts by itself.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from athlos.errors import AthlosError

__all__ = ["SimulatedLoop", "SimulationDeadlock", "SimulationError", "arrive", "simulate"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CEILING = 30 * 86_400.0  # seconds of simulated time
_LATE = 0.001  # seconds by which a busy loop may be late
_BUSY = 0.25  # how often it is
_SPIN = 1_000  # iterations at one instant until time goes on all the same
_ENDLESS = 200_000  # ... and until it is clear that it never will
_LEAST = 1e-6  # seconds that anything outside takes
_CANCELLED = 256  # cancelled timers until it is worth looking at sweeping them out


class SimulationError(AthlosError):
    """Code in a simulation asked for something that cannot be simulated."""


class SimulationDeadlock(SimulationError):
    """Nothing can happen any more, or time has run out, and the simulation has not ended."""


def simulate(
    main: Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T], *, seed: int = 0
) -> T:
    """Runs a coroutine in simulated time and returns its result, as `asyncio.run` does in real.

        async def main():
            await asyncio.sleep(3600)
            return asyncio.get_running_loop().time()

        assert simulate(main, seed=7) == 3600

    Nothing is patched. `asyncio.to_thread` runs its function at once, in this thread. Sockets,
    subprocesses and signals raise a `SimulationError`.

    Args:
        main: A coroutine function without arguments, or a coroutine.
        seed: Decides everything that asyncio leaves open, and the faults and latencies of fakes
            without a seed of their own.

    Raises:
        SimulationDeadlock: All tasks wait for each other; or the end was not reached in 30 days of
            simulated time.
        SimulationError: It was called within a running event loop.
    """
    if asyncio._get_running_loop() is not None:
        raise SimulationError("simulate() has a loop of its own; call it outside of any other")
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(seed)) as runner:
        return runner.run(main() if callable(main) else main)


async def arrive(delay: float = 0.0) -> None:
    """Waits as for an answer from outside: in a simulation, the order of arrivals is drawn.

    Args:
        delay: Seconds.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulatedLoop):
        if delay > 0:
            await asyncio.sleep(delay)
        return
    future: asyncio.Future[None] = loop.create_future()
    timer = loop.arrival(delay, future)
    try:
        await future
    finally:
        timer.cancel()


def _arrived(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class _Task(asyncio.Task[Any]):
    """A task whose hash does not depend on its address, so that sets of tasks have one order."""

    def __init__(self, number: int, coroutine: Any, **options: Any) -> None:
        self.number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number


class _Timer(asyncio.TimerHandle):
    """A timer; `_scheduled` says whether it is still in the heap."""

    __slots__ = ()
    _scheduled: bool


def _refused(what: str) -> Any:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise SimulationError(
            f"the simulated event loop has no {what}",
            hint="Give the code under test a fake, such as athlos.testing.FakeTransport.",
        )

    return refuse


class SimulatedLoop(asyncio.BaseEventLoop):
    """The event loop of `simulate`; `asyncio.get_running_loop()` is it.

    Attributes:
        seed: Of the simulation.
        trace: Hash of everything that happened up to now: at which times how much was run.
    """

    _ready: deque[asyncio.Handle]
    _closed: bool
    _stopping: bool
    _thread_id: int | None

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.trace = 0
        self._draw = random.Random(seed).random
        self._now = 0.0
        self._ceiling = _CEILING
        self._spins = 0
        self._made = 0
        # (when, tie, handle, whether it is an arrival): ties are drawn, so no two are equal
        self._timers: list[tuple[float, float, _Timer, bool]] = []
        self._dead = 0  # cancelled timers that are still in the heap

    def time(self) -> float:
        """Simulated seconds since the start."""
        return self._now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As every loop's: first in, first out."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As `call_soon`, and from the loop's own thread only.

        Raises:
            SimulationError: Another thread called, at a time that no seed decides.
        """
        if self._thread_id not in (None, threading.get_ident()):
            raise SimulationError("another thread called into the simulated event loop")
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Runs a callback when simulated time has come to `when`."""
        return self._schedule(when, False, callback, args, context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Runs a callback `delay` simulated seconds from now."""
        return self._schedule(self._now + delay, False, callback, args, context)

    def arrival(
        self,
        delay: float,
        future: asyncio.Future[Any],
        result: Any = None,
        error: BaseException | None = None,
    ) -> asyncio.TimerHandle:
        """Ends a future `delay` seconds from now, as something from outside does.

        Nothing from outside comes at once: it takes a microsecond at least.
        """
        args = (future, result, error)
        when = self._now + (delay if delay > _LEAST else _LEAST)
        return self._schedule(when, True, _arrived, args, None)

    def _schedule(
        self,
        when: float,
        arrival: bool,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> asyncio.TimerHandle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        timer = _Timer(when, callback, args, self, context)
        timer._scheduled = True
        heappush(self._timers, (when, self._draw(), timer, arrival))
        return timer

    def create_task(self, coro: Any, **options: Any) -> Any:
        """A task, with a name and a hash that are the same in every run."""
        self._made += 1
        if options.get("name") is None:
            options["name"] = f"Task-{self._made}"
        if self.get_task_factory() is not None:
            return super().create_task(coro, **options)
        return _Task(self._made, coro, loop=self, **options)

    def run_in_executor(
        self, executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Calls the function now; its result arrives like any answer from outside."""
        future: asyncio.Future[T] = self.create_future()
        try:
            self.arrival(0.0, future, func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self.arrival(0.0, future, error=error)
        return future

    def _run_once(self) -> None:
        ready = self._ready
        self._spins += 1
        if not self._stopping and (not ready or self._spins > _SPIN):
            self._advance()
        todo = len(ready)
        self.trace = hash((self.trace, self._now, todo))
        for _ in range(todo):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _advance(self) -> None:
        """Moves the clock to the next timer and makes ready what is due."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)
            self._dead -= 1
        if self._spins > _ENDLESS:
            self._spins = 0
            self._give_up("callbacks call each other without end, and no time passes")
        if not timers:
            if not self._ready:
                self._give_up("nothing is left that could happen")
            return
        first = timers[0][0]
        if first > self._now:
            self._spins = 0
        else:
            first = self._now
        if first > self._ceiling:
            self._ceiling = first + _CEILING  # for what ends the tasks
            self._give_up(f"the end was not reached in {_CEILING / 86_400:g} days")
        last = first + _LATE * self._draw() if self._draw() < _BUSY else first
        due = [heappop(timers)]
        while timers and timers[0][0] <= last:
            due.append(heappop(timers))
        self._now = max(self._now, due[-1][0])
        if len(due) > 1 and due[-1][0] > due[0][0]:
            # timers stay in their order; arrivals may come before, between and after them
            start, span = first - (last - first), 2 * (last - first)
            due.sort(key=lambda e: (start + span * self._draw() if e[3] else e[0], e[1]))
        for _, _, timer, _ in due:
            timer._scheduled = False
            self._ready.append(timer)

    def _give_up(self, why: str) -> None:
        waiting = sorted(asyncio.all_tasks(self), key=lambda task: getattr(task, "number", 0))
        listed = [f"  {_where(task)}" for task in waiting[:20]]
        if len(waiting) > 20:
            listed.append(f"  and {len(waiting) - 20:,} more")
        raise SimulationDeadlock(
            f"the simulation stands still at {self._now:g} s: {why} (seed {self.seed}). "
            f"Pending tasks: {len(waiting)}\n" + "\n".join(listed)
        )

    def _timer_handle_cancelled(self, handle: _Timer) -> None:
        if not handle._scheduled:  # it has fired
            return
        self._dead += 1
        if self._dead > _CANCELLED and self._dead * 2 > len(self._timers):
            self._timers = [e for e in self._timers if not e[2]._cancelled]
            heapify(self._timers)
            self._dead = 0

    add_reader: Any = _refused("sockets (add_reader)")
    remove_reader: Any = _refused("sockets (remove_reader)")
    add_writer: Any = _refused("sockets (add_writer)")
    remove_writer: Any = _refused("sockets (remove_writer)")
    sock_recv: Any = _refused("sockets (sock_recv)")
    sock_recv_into: Any = _refused("sockets (sock_recv_into)")
    sock_recvfrom: Any = _refused("sockets (sock_recvfrom)")
    sock_recvfrom_into: Any = _refused("sockets (sock_recvfrom_into)")
    sock_sendall: Any = _refused("sockets (sock_sendall)")
    sock_sendto: Any = _refused("sockets (sock_sendto)")
    sock_connect: Any = _refused("sockets (sock_connect)")
    sock_accept: Any = _refused("sockets (sock_accept)")
    sock_sendfile: Any = _refused("sockets (sock_sendfile)")
    getaddrinfo: Any = _refused("network (getaddrinfo)")
    getnameinfo: Any = _refused("network (getnameinfo)")
    create_connection: Any = _refused("network (create_connection)")
    create_server: Any = _refused("network (create_server)")
    create_unix_connection: Any = _refused("network (create_unix_connection)")
    create_unix_server: Any = _refused("network (create_unix_server)")
    create_datagram_endpoint: Any = _refused("network (create_datagram_endpoint)")
    connect_accepted_socket: Any = _refused("network (connect_accepted_socket)")
    start_tls: Any = _refused("network (start_tls)")
    sendfile: Any = _refused("network (sendfile)")
    connect_read_pipe: Any = _refused("pipes (connect_read_pipe)")
    connect_write_pipe: Any = _refused("pipes (connect_write_pipe)")
    subprocess_exec: Any = _refused("subprocesses (subprocess_exec)")
    subprocess_shell: Any = _refused("subprocesses (subprocess_shell)")
    add_signal_handler: Any = _refused("signals (add_signal_handler)")
    remove_signal_handler: Any = _refused("signals (remove_signal_handler)")


def _where(task: asyncio.Task[Any]) -> str:
    """A task's name, its coroutine and the line on which the innermost await of it stands."""
    outer: Any = task.get_coro()
    inner, frame = outer, None
    while inner is not None:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "ag_frame", None) or frame
        inner = getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None)
    line = f" at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else ""
    return f"{task.get_name()}: {getattr(outer, '__qualname__', outer)}{line}"
