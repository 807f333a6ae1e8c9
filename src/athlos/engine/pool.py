"""A pool of worker processes for CPU-heavy verifiers, with a hard limit on each call.

A verifier that hangs or crashes costs its own attempt and one worker, which is replaced; nothing
else waits for it. Workers live in sessions of their own (Ctrl-C is not theirs), get none of the
parent's secrets, and die with the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sys
from typing import Any

from athlos.environment import Environment
from athlos.errors import ConfigError, VerifierError, VerifierTimeout
from athlos.registry import is_loaded_file
from athlos.types import Rollout

__all__ = ["ProcessPool"]

# What a worker needs of the environment variables; keys and tokens are not among it.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_START_TIMEOUT = 60.0
_HEADER = 8
_READY = b"ready"


class ProcessPool:
    """Runs rewards in worker processes, started when first needed.

    Args:
        reference: What a worker loads the environment class from.
        size: Number of workers; one for each core by default.
    """

    def __init__(self, reference: str | type[Environment], size: int | None = None) -> None:
        if not isinstance(reference, str):
            reference = _reference(reference)
        self._hello = pickle.dumps((list(sys.path), reference))
        self._slots: asyncio.Queue[_Worker | None] = asyncio.Queue()
        self._workers: set[_Worker] = set()
        for _ in range(size or os.cpu_count() or 1):
            self._slots.put_nowait(None)

    async def score(self, env: Environment, method: str, rollout: Rollout, timeout: float) -> Any:
        """Runs `env.method(rollout)` in a worker and returns its value.

        `rollout.extra` comes back with what the method put there.

        Raises:
            VerifierError: It raised, took longer than `timeout` seconds, or ended its process.
        """
        try:
            work = pickle.dumps((env, method, rollout))
        except Exception as error:  # what an author keeps on `self` may raise anything
            raise VerifierError(
                f"reward {method!r} has process=True, but its environment's state cannot be sent "
                f"to a worker: {error}"
            ) from error
        worker = await self._slots.get()
        usable = False
        try:
            if worker is None:
                worker = await _Worker.start(self._hello)
                self._workers.add(worker)
            async with asyncio.timeout(timeout):
                answer = await worker.call(work)
            usable = True
        except TimeoutError:
            raise VerifierTimeout(f"reward {method!r} took longer than {timeout:g} s") from None
        except (EOFError, OSError) as error:
            code = await worker.exit_code() if worker else None
            raise VerifierError(
                f"reward {method!r} ended its worker process (exit code {code})"
            ) from error
        finally:
            self._slots.put_nowait(worker if usable else None)
            if not usable and worker is not None:
                worker.kill()
                await worker.exit_code()
                self._workers.discard(worker)
        ok, value, extra = pickle.loads(answer)  # noqa: S301 - from our own worker
        if not ok:
            raised, trace = value
            raise VerifierError(f"reward {method!r} raised {raised}", hint=trace)
        rollout.extra = extra
        return value

    async def close(self) -> None:
        """Ends all workers."""
        workers, self._workers = self._workers, set()
        for worker in workers:
            worker.kill()
        for worker in workers:
            await worker.exit_code()


def _reference(env: type[Environment]) -> str:
    """What a worker can load a class from."""
    module = sys.modules.get(env.__module__.partition(".")[0])
    if env.__module__ == "__main__" or "." in env.__qualname__:
        place = "in the main script" if env.__module__ == "__main__" else "inside something else"
        raise ConfigError(
            f"{env.__name__} has a reward with process=True and stands {place}, from where a "
            "worker process cannot import it",
            hint="Put the environment into a file of its own.",
        )
    if module is not None and is_loaded_file(module):
        return f"{module.__file__}:{env.__qualname__}"
    return f"{env.__module__}:{env.__qualname__}"


class _Worker:
    """One child process that answers one frame at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, hello: bytes) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "athlos.engine.pool_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                **{name: os.environ[name] for name in _PASSED if name in os.environ},
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            start_new_session=True,
        )
        worker = cls(process)
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                answer = await worker.call(hello)
            if answer != _READY:
                why, _, trace = answer.decode().partition("\n")
                raise VerifierError(
                    f"a worker process cannot load the environment: {why}", hint=trace
                )
        except BaseException as error:
            worker.kill()
            code = await worker.exit_code()
            if isinstance(error, EOFError | OSError):
                raise VerifierError(f"a worker process did not start (exit code {code})") from error
            raise
        return worker

    async def call(self, frame: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(len(frame).to_bytes(_HEADER, "big") + frame)
        await stdin.drain()
        size = int.from_bytes(await stdout.readexactly(_HEADER), "big")
        return await stdout.readexactly(size)

    def kill(self) -> None:
        """Ends the process and whatever a verifier started in it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def exit_code(self) -> int | None:
        try:
            async with asyncio.timeout(5):
                return await self._process.wait()
        except TimeoutError:
            return None
