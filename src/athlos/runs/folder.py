"""The run folder, open for writing: one writer, append-only, resumable.

run.json          the resolved configuration, its fingerprint, versions, the git commit
tasks.jsonl       the tasks, in order
rollouts.jsonl    scored attempts; (task_id, sample) is unique
failures.jsonl    failed attempts
metrics.json      what the closing table shows
"""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from athlos._version import __version__
from athlos.errors import ConfigError
from athlos.runs.journal import Journal
from athlos.runs.read import read_run, read_tasks
from athlos.runs.spec import RunFile, RunSpec
from athlos.types import Failure, Rollout, Task

__all__ = ["RunFolder"]


class RunFolder:
    """A folder that this process, and no other, writes to.

    Args:
        path: Made if it is not there.
        spec: The configuration of the run that is to be written, or resumed.

    Raises:
        ConfigError: The folder cannot be written, belongs to another run, to another kind of
            thing, or is being written by another process.
    """

    def __init__(self, path: Path, spec: RunSpec) -> None:
        self.path = path
        self._spec = spec
        self._lock = _lock(path)
        try:
            with _writing(path):
                self.resumed = self._check(spec)
                if not self.resumed:
                    self._write_run()  # first of all, so that a folder without it is no run
                self._rollouts = Journal(path / "rollouts.jsonl")
                self._failures = Journal(path / "failures.jsonl")
                self._tasks = Journal(path / "tasks.jsonl")
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def repaired(self) -> int:
        """Bytes of records that were cut off in the middle by a crash and are gone."""
        return self._rollouts.repaired + self._failures.repaired

    def stored_tasks(self) -> list[Task]:
        """The tasks that the folder has already."""
        return read_tasks(self.path)

    def add_tasks(self, tasks: Sequence[Task]) -> None:
        """Takes over the configuration, which may ask for more than before, and appends tasks."""
        with _writing(self.path):
            if self.resumed:
                self._write_run()
            if tasks:
                self._tasks.append(b"".join(msgspec.json.encode(task) + b"\n" for task in tasks))
                self._tasks.sync()

    def add(self, records: Sequence[tuple[Rollout | Failure, bytes]]) -> None:
        """Appends records with their lines; those of one file in one write: a group stays whole."""
        rollouts = b"".join(line for record, line in records if isinstance(record, Rollout))
        failures = b"".join(line for record, line in records if isinstance(record, Failure))
        with _writing(self.path):
            if rollouts:
                self._rollouts.append(rollouts)
            if failures:
                self._failures.append(failures)

    def sync(self) -> None:
        """Puts the records on the disk. May run in a thread."""
        with _writing(self.path):
            self._rollouts.sync()
            self._failures.sync()

    def write_metrics(self, metrics: Any) -> None:
        """Replaces metrics.json."""
        with _writing(self.path):
            _replace(self.path / "metrics.json", metrics)

    def close(self) -> None:
        """Syncs, closes and unlocks. May be called twice."""
        for journal in (self._rollouts, self._failures, self._tasks):
            journal.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _check(self, spec: RunSpec) -> bool:
        """Whether there is a run of the same configuration in the folder."""
        file = self.path / "run.json"
        if not file.exists():
            others = [p.name for p in self.path.iterdir() if p.name not in (".lock", "run.tmp")]
            if others:
                raise ConfigError(
                    f"{self.path} is no run folder and not empty (it has {others[0]})",
                    hint="Choose another --out.",
                )
            return False
        earlier = read_run(self.path)
        spec.check_resumes(earlier.spec, str(self.path))
        self._created = earlier.created
        return True

    def _write_run(self) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run = RunFile(
            athlos=__version__,
            created=getattr(self, "_created", now),
            fingerprint=self._spec.fingerprint(),
            python=platform.python_version(),
            platform=platform.platform(),
            git_commit=_git_commit(),
            spec=self._spec,
        )
        _replace(self.path / "run.json", run)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Says in a sentence why the folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write to {path}: {error.strerror}",
            hint="What was written before is kept; the same command resumes the run.",
        ) from error


class _Written(Rollout):
    """A rollout as it is checked before it is written; calls came from JSON, and can be long."""

    calls: Any = msgspec.Raw(b"[]")


_encoder = msgspec.json.Encoder()
_written = msgspec.json.Decoder(_Written)
_failed = msgspec.json.Decoder(Failure)


def encode(record: Rollout | Failure) -> bytes:
    """A record as its line, which is checked to be readable again.

    Raises:
        TypeError, ValueError, RecursionError: It holds what JSON cannot, or what a record may not.
    """
    line = _encoder.encode(record)
    (_written if isinstance(record, Rollout) else _failed).decode(line)
    return line + b"\n"


def _lock(path: Path) -> int:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except FileExistsError as error:
        raise ConfigError(f"--out {path} is a file, not a folder") from error
    except OSError as error:
        raise ConfigError(
            f"cannot write to {path}: {error.strerror}", hint="Choose another --out."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigError(f"{path} is being written by another process") from error
    return lock


def _replace(path: Path, value: Any) -> None:
    """Writes a whole file so that a reader sees the old one or the new one, never a half."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _git_commit() -> str | None:
    """The commit of the working directory, if it is in a repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--verify", "-q", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
