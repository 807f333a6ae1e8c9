"""A file of rows: JSON lines, or Parquet. It is there under its name when all of it is."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, BinaryIO, Literal, Protocol, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from athlos.errors import ConfigError

__all__ = ["Table", "open_table"]

_ROWS = 4096  # of one row group of Parquet, at most
_SIZE = 1 << 20  # ... and numbers in its lists


class Table(Protocol):
    """Takes rows of one kind."""

    def add(self, row: Struct, size: int) -> None:
        """Adds a row; `size` is about how many values it holds."""
        ...


def open_table(
    out: Path | BinaryIO, kind: type[Struct], run: Path
) -> AbstractContextManager[Table]:
    """A table of rows of `kind`, to be filled.

    Args:
        out: A `.jsonl` or `.parquet` file, or an open binary file for JSON lines.
        kind: The type of all rows.
        run: The folder that they are from; its own files are no place for them.

    Raises:
        ConfigError: `out` ends otherwise, is a file of the run, or cannot be written.
    """
    if not isinstance(out, Path):
        return _to_file(out)
    if out.suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"{out} must end in .jsonl or .parquet")
    if out.parent.resolve() == run.resolve() and out.name in (
        "tasks.jsonl",
        "rollouts.jsonl",
        "failures.jsonl",
    ):
        raise ConfigError(f"{out} is a file of the run itself", hint="Choose another name.")
    pyarrow = None
    if out.suffix == ".parquet":
        try:
            pyarrow = importlib.import_module("pyarrow")
            importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise ConfigError(
                f"{out}: writing Parquet needs pyarrow: {error}",
                hint="pip install 'athlos[parquet]', or export to a .jsonl file.",
            ) from error
    return _to_path(out, kind, pyarrow)


@contextmanager
def _to_file(file: BinaryIO) -> Iterator[Table]:
    yield _Lines(file)


@contextmanager
def _to_path(out: Path, kind: type[Struct], pyarrow: Any) -> Iterator[Table]:
    part = out.with_name(f"{out.name}.part")
    try:
        file = part.open("wb")
    except OSError as error:
        raise ConfigError(f"cannot write {part}: {error.strerror}") from error
    try:
        with file:
            if pyarrow is None:
                yield _Lines(file)
            else:
                batches = _Batches(file, kind, pyarrow)
                try:
                    yield batches
                    batches.flush()
                finally:
                    batches.close()
        part.replace(out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


_NARROW = {"token_ids": "int32", "loss_mask": "int8"}


def _arrow(hint: Any, pyarrow: Any, name: str = "") -> Any:
    """The Arrow type of a field."""
    if get_origin(hint) is Literal or hint is str:
        return pyarrow.string()
    if hint is bool:
        return pyarrow.bool_()
    if hint is int:
        return getattr(pyarrow, _NARROW.get(name, "int64"))()
    if hint is float:
        return pyarrow.float64()
    if get_origin(hint) is list:
        return pyarrow.list_(_arrow(get_args(hint)[0], pyarrow, name))
    if get_origin(hint) is dict:
        key, value = get_args(hint)
        return pyarrow.map_(_arrow(key, pyarrow), _arrow(value, pyarrow))
    if get_origin(hint) is UnionType:  # of what else a field may hold there are only texts
        return _arrow(get_args(hint)[0], pyarrow, name)
    fields = get_type_hints(hint).items()
    return pyarrow.struct([(name, _arrow(inner, pyarrow, name)) for name, inner in fields])


class _Lines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, row: Struct, size: int) -> None:
        self._file.write(msgspec.json.encode(row) + b"\n")


class _Batches:
    """Rows on their way to Parquet."""

    def __init__(self, file: BinaryIO, kind: type[Struct], pyarrow: Any) -> None:
        self._pyarrow = pyarrow
        self._schema = pyarrow.schema(
            [(name, _arrow(hint, pyarrow, name)) for name, hint in get_type_hints(kind).items()]
        )
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)
        self._rows: list[dict[str, Any]] = []
        self._size = 0

    def add(self, row: Struct, size: int) -> None:
        built = msgspec.to_builtins(row)
        for message in built.get("messages", ()):
            if isinstance(message.get("content"), list):
                raise ConfigError(
                    f"rollout {built['rollout_id']}: a message has content parts, and the Parquet "
                    "table holds text only",
                    hint="Export to a .jsonl file.",
                )
        self._rows.append(built)
        self._size += size
        if len(self._rows) >= _ROWS or self._size >= _SIZE:
            self.flush()

    def flush(self) -> None:
        """Writes what is there as one row group."""
        if self._rows:
            self._writer.write_table(self._pyarrow.Table.from_pylist(self._rows, self._schema))
        self._rows, self._size = [], 0

    def close(self) -> None:
        self._writer.close()
