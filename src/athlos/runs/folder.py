"""The run folder, open for writing: one writer, append-only, resumable.

run.json          the resolved configuration, its fingerprint, versions, the git commit
tasks.jsonl       the tasks, in order
rollouts.jsonl    scored attempts; (task_id, sample) is unique
failures.jsonl    failed attempts
index.bin         what a resume needs to know of the records; made from them
metrics.json      what the closing table shows

Records are appended at once and put on the disk by `sync`, many together. A kill of the process
takes nothing that was added; a crash of the machine takes no more than what is `unsynced`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from athlos._version import __version__
from athlos.errors import AthlosError, ConfigError
from athlos.runs.index import Entry, Index, enter
from athlos.runs.journal import Journal
from athlos.runs.progress import Progress
from athlos.runs.read import read_run
from athlos.runs.record import encode
from athlos.runs.recovery import recover
from athlos.runs.spec import RunFile, RunSpec
from athlos.runs.tasks import TaskStore
from athlos.types import Failure, Rollout, Task

__all__ = ["Progress", "RunFolder", "encode"]

_log = logging.getLogger("athlos")

_NEAR = 4096  # tasks that records of one second are apart, mostly


class RunFolder:
    """A folder that this process, and no other, writes to.

    Every method is for one thread, but `sync`, which may run in another.

    Args:
        path: Made if it is not there.
        spec: The configuration of the run that is to be written, or resumed.

    Attributes:
        resumed: Whether there was a run in the folder.
        repaired: Bytes of records that a crash had left torn; they were cut off.
        tasks: The tasks that the folder has.
        progress: What became of each sample, what was added up to now included.

    Raises:
        ConfigError: The folder cannot be written, belongs to another run, to another kind of
            thing, is damaged, or is being written by another process.
    """

    def __init__(self, path: Path, spec: RunSpec) -> None:
        self.path = path
        self.progress = Progress()
        self._spec = spec
        self._mutex = threading.Lock()  # of `_pending`, `_covered` and `_added`, which go together
        self._syncing = threading.Lock()
        self._pending: list[bytes] = []  # entries of what is written and not synced
        self._added = self._synced = 0
        self._fault: OSError | None = None
        self._closed = False
        self._open = ExitStack()
        lock = _lock(path)
        self._open.callback(_unlock, lock)
        try:
            with _writing(path):
                self._earlier = self._check(spec)
                self.resumed = self._earlier is not None
                if not self.resumed:
                    self._write_run(None)  # first of all: a folder without it is no run
                self.tasks = TaskStore(path / "tasks.jsonl")
                self._open.callback(self.tasks.close)
                self._rollouts = self._journal("rollouts.jsonl")
                self._failures = self._journal("failures.jsonl")
                self._index = Index(path / "index.bin")
                self._open.callback(self._index.close)
                _sync_folder(path)
                self._check_tasks()
                self.repaired = self._read_index()
        except BaseException:
            self._open.close()
            raise
        self._covered = self._rollouts.size, self._failures.size
        self._begun = self._index.size

    @property
    def tasks_known(self) -> bool:
        """Whether `tasks` are all that the configuration asks for; the environment knows else."""
        earlier = self._earlier
        if earlier is None or earlier.tasks is None:
            return False
        before = earlier.spec.limit
        return self._spec.limit == before or (before is not None and earlier.tasks < before)

    def add_tasks(self, tasks: Sequence[Task]) -> None:
        """Appends tasks. They count when `settle_tasks` says so."""
        with _writing(self.path):
            self.tasks.append(tasks)

    def settle_tasks(self, count: int | None = None) -> None:
        """Takes over the configuration, which may ask for more than before, with its tasks.

        Args:
            count: The tasks of the run are the first so many; as many as before if they are known.
                What stands behind them is of an earlier part of the run that had begun to grow.
        """
        with _writing(self.path):
            if count is None:
                assert self._earlier is not None and self._earlier.tasks is not None
                count = self._earlier.tasks
            self.tasks.cut(count)
            self.tasks.sync()
            self._write_run(count)

    def entries(self) -> Iterator[Entry]:
        """What was recorded before the folder was opened, in the order of the index."""
        return self._index.entries(self._begun)

    def add(self, records: Sequence[tuple[int, Rollout | Failure, bytes]]) -> None:
        """Appends records; those of one file go out in one write: a group stays whole.

        Args:
            records: The number of the task, the record, and its line (see `encode`) of each.

        Raises:
            ConfigError: They cannot be written; none was.
            AthlosError: A sample has a rollout already; none was written.
        """
        rollouts: list[bytes] = []
        failures: list[bytes] = []
        marked: list[tuple[int, int]] = []
        try:
            for number, record, line in records:
                if not isinstance(record, Rollout):
                    failures.append(line)
                    continue
                if not self.progress.add_rollout(number, record.sample):
                    raise AthlosError(f"{record.id} has a rollout already")
                marked.append((number, record.sample))
                rollouts.append(line)
            entries = [enter(number, record) for number, record, _ in records]
            self._append(b"".join(rollouts), b"".join(failures))
        except BaseException:
            for number, sample in marked:
                self.progress.remove_rollout(number, sample)
            raise
        if failures:
            for number, record, _ in records:
                if isinstance(record, Failure):
                    self.progress.add_failure(number, record.sample, record.attempt)
        with self._mutex:
            self._pending += entries
            self._covered = self._rollouts.size, self._failures.size
            self._added += len(entries)

    @property
    def unsynced(self) -> int:
        """Records that a crash of the machine could still take."""
        return self._added - self._synced

    def sync(self) -> None:
        """Puts on the disk what was added before the call. May run in a thread, while more is.

        Raises:
            ConfigError: The system could not; what it says later is not to be trusted either.
        """
        with self._syncing, _writing(self.path):
            if not self._closed:
                self._sync()

    def write_metrics(self, metrics: Any) -> None:
        """Replaces metrics.json."""
        with _writing(self.path):
            _replace(self.path / "metrics.json", metrics)

    def close(self) -> None:
        """Syncs, closes and unlocks. May be called twice."""
        with self._syncing, self._open.pop_all(), _writing(self.path):
            if not self._closed and self._fault is None:
                self._closed = True
                self._sync()
                self._index.sync()

    def _append(self, rollouts: bytes, failures: bytes) -> None:
        start = self._rollouts.size
        try:
            if rollouts:
                self._rollouts.append(rollouts)
            if failures:
                self._failures.append(failures)
        except OSError as error:
            self._rollouts.cut(start)
            raise _unwritable(self.path, error) from error

    def _sync(self) -> None:
        if self._fault is not None:
            raise self._fault
        with self._mutex:
            pending, self._pending = self._pending, []
            covered = self._covered
            added = self._added
        if not pending:
            return
        try:
            self._rollouts.sync()
            self._failures.sync()
            self._index.append(*covered, pending)
        except OSError as error:
            self._fault = error  # the index must not go on with a gap
            raise
        self._synced = added

    def _journal(self, name: str) -> Journal:
        journal = Journal(self.path / name)
        self._open.callback(journal.close)
        return journal

    def _check(self, spec: RunSpec) -> RunFile | None:
        """The run of the same configuration that is in the folder, if there is one."""
        file = self.path / "run.json"
        if not file.exists():
            others = [p.name for p in self.path.iterdir() if p.name not in (".lock", "run.tmp")]
            if others:
                raise ConfigError(
                    f"{self.path} is no run folder and not empty (it has {others[0]})",
                    hint="Choose another --out.",
                )
            return None
        earlier = read_run(self.path)
        spec.check_resumes(earlier.spec, str(self.path))
        return earlier

    def _check_tasks(self) -> None:
        settled = self._earlier.tasks if self._earlier is not None else None
        if settled is not None and len(self.tasks) < settled:
            raise ConfigError(
                f"{self.path / 'tasks.jsonl'} is damaged: "
                f"it has {len(self.tasks):,} tasks and had {settled:,}"
            )
        self.tasks.cut_damaged(settled or 0)

    def _read_index(self) -> int:
        """Takes up what was recorded; returns how many bytes of it were torn."""
        progress = self.progress
        last = []
        for last in self._index.read():
            for key in last:
                if key.failed:
                    progress.add_failure(key.task, key.sample, key.attempt)
                elif not progress.add_rollout(key.task, key.sample):
                    raise ConfigError(
                        f"{self.path / 'index.bin'} is damaged: it names a sample twice",
                        hint="Delete it: it is made anew.",
                    )
        near = max(min((key.task for key in last), default=0) - _NEAR, 0)
        files = (self._rollouts, self._index.rollouts), (self._failures, self._index.failures)
        for journal, covered in files:
            if journal.size < covered:
                _log.warning(
                    "%s has lost %s bytes since it was written; what is missing is made again",
                    journal.path,
                    f"{covered - journal.size:,}",
                )
                self._index.forget()
                progress = self.progress = Progress()
                near = 0
        return recover(self._rollouts, self._failures, self._index, self.tasks, progress, near)

    def _write_run(self, tasks: int | None) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run = RunFile(
            athlos=__version__,
            created=now if self._earlier is None else self._earlier.created,
            fingerprint=self._spec.fingerprint(),
            python=platform.python_version(),
            platform=platform.platform(),
            git_commit=_git_commit(),
            spec=self._spec,
            tasks=tasks,
        )
        _replace(self.path / "run.json", run)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Says in a sentence why the folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot write to {path}: {error.strerror}",
        hint="What was written before is kept; the same command resumes the run.",
    )


_locks: set[int] = set()


def _forget_locks() -> None:
    """In a forked child: what it inherited would outlive the run."""
    while _locks:
        os.close(_locks.pop())


os.register_at_fork(after_in_child=_forget_locks)


def _unlock(lock: int) -> None:
    if lock in _locks:
        _locks.discard(lock)
        os.close(lock)


def _lock(path: Path) -> int:
    try:
        if not path.exists():
            path.mkdir(parents=True, exist_ok=True)
            _sync_folder(path.parent)
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
    _locks.add(lock)
    return lock


def _replace(path: Path, value: Any) -> None:
    """Writes a whole file so that a reader sees the old one or the new one, never a half."""
    temporary = path.with_suffix(".tmp")
    content = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        while content:
            content = content[os.write(file, content) :]
        os.fsync(file)
    finally:
        os.close(file)
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Puts the names of its files on the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
