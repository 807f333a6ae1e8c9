"""A thread with an event loop of its own, for trainers whose loop is not asynchronous."""

from __future__ import annotations

import asyncio
import pickle
import threading
import traceback
from collections.abc import Coroutine
from concurrent.futures import CancelledError as Withdrawn
from contextlib import suppress
from typing import Any, TypeVar

from athlos.errors import AthlosError, ConfigError

__all__ = ["LoopThread", "portable"]

T = TypeVar("T")

_END = 60.0  # seconds that what is under way may take to be cancelled


class LoopThread:
    """Runs coroutines in a thread, one event loop for all of them.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str = "athlos") -> None:
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def run(self, work: Coroutine[Any, Any, T], within: float) -> T:
        """Runs a coroutine and returns its result; what it raises can be pickled.

        Args:
            work: Is cancelled if it takes longer, or if this thread is interrupted.
            within: Seconds.

        Raises:
            TimeoutError: It took longer.
            ConfigError: The thread has been closed, or is the one that calls this.
        """
        if self._closed or threading.current_thread() is self._thread:
            work.close()
            raise ConfigError(
                "the loop's own thread cannot wait for it"
                if not self._closed
                else "the stream has been closed"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(within)
        except TimeoutError as error:
            if future.done() and not future.cancelled():  # its own
                raise portable(error) from None
            future.cancel()
            raise TimeoutError(f"no result within {within:g} s") from None
        except Withdrawn:
            raise ConfigError("the stream was closed while somebody waited for it") from None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is passed on
            raise portable(error) from error.__cause__
        except BaseException:
            future.cancel()
            raise

    def call(self, work: Any, *args: Any, within: float) -> Any:
        """Calls a function in the thread and returns its result; see `run`."""

        async def calling() -> Any:
            return work(*args)

        return self.run(calling(), within)

    def close(self) -> None:
        """Cancels what is under way and ends the thread. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END + 1)

    def _work(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=_END))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def portable(error: Exception) -> Exception:
    """The error, or one that says the same and can be pickled: it may have to leave the process."""
    copy: Any = None
    with suppress(Exception):  # what an exception's own code does when it is copied is anyone's
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    if type(copy) is type(error) and str(copy) == str(error):
        return error
    trace = "".join(traceback.format_exception(error))
    return AthlosError(f"{type(error).__name__}: {error}", hint=trace)
