"""Reading a run folder. Nothing here writes, locks, or minds that a run is still going on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from athlos.errors import ConfigError
from athlos.runs.spec import RunFile
from athlos.types import Failure, Rollout, Task

__all__ = ["read_failures", "read_records", "read_rollouts", "read_run", "read_tasks"]

T = TypeVar("T")


def read_rollouts(run: str | Path) -> Iterator[Rollout]:
    """Yields the scored rollouts of a run, in the order in which they ended.

    Raises:
        ConfigError: There is no such run, or a line in it is damaged.
    """
    return read_records(Path(run), "rollouts.jsonl", Rollout)


def read_failures(run: str | Path) -> Iterator[Failure]:
    """Yields the failed attempts of a run."""
    return read_records(Path(run), "failures.jsonl", Failure)


def read_tasks(run: str | Path) -> list[Task]:
    """The tasks of a run."""
    return list(read_records(Path(run), "tasks.jsonl", Task))


def read_run(run: str | Path) -> RunFile:
    """The content of run.json.

    Raises:
        ConfigError: There is none, or it is damaged.
    """
    path = Path(run) / "run.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunFile)
    except FileNotFoundError:
        raise ConfigError(f"{run} is no run folder: it has no run.json") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from error


def read_records(run: Path, name: str, kind: type[T]) -> Iterator[T]:
    """Yields the lines of one file of a run as `kind`, which may be a part of what was written."""
    path = run / name
    decoder = msgspec.json.Decoder(kind)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        if not (run / "run.json").is_file():
            raise ConfigError(f"{run} is no run folder: it has no run.json") from None
        return
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    with file:
        for number, line in enumerate(file, 1):
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if not line.endswith(b"\n"):
                    return  # torn by a crash, or being written right now
                raise ConfigError(f"{path}:{number}: damaged record: {error}") from error
