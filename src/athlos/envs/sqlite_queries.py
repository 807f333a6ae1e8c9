"""Runs SQL that a model wrote: read-only, with limits on time and memory, and nothing but queries.

What SQLite itself cannot interrupt, such as one comparison of long texts, takes up to half a minute
more: run this in a process that can be killed.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from athlos.scoring.result_sets import Row

__all__ = ["Database", "QueryError", "QueryLimit", "database_file", "fetch", "run_query"]

Database = Path | bytes
"""A file of SQLite, or the bytes of one."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_STEPS = 500  # of SQLite's machine, between two looks at the clock
_MEMORY = 384 * 2**20  # bytes that SQLite may take in this process
_RESULT = 128 * 2**20  # bytes of a result that is kept, about
_VALUE = 64  # bytes that Python takes for a value at least, about
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,  # of a text or blob, and of a row
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 200_000,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 500_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_ACTIONS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_PRAGMAS = frozenset(
    {
        "foreign_key_list", "function_list", "index_info", "index_list", "index_xinfo",
        "table_info", "table_list", "table_xinfo",
    }
)  # fmt: skip
"""Those that describe the schema and change nothing."""

_TABLES = (
    "json_each('[]')", "json_tree('[]')", "pragma_table_info('')", "pragma_foreign_key_list('')",
    "pragma_index_list('')", "pragma_index_info('')", "pragma_table_list",
)  # fmt: skip
"""Functions that give tables. To use one the first time is to declare a table, which is refused."""

_FUNCTIONS = frozenset({"edit", "fts3_tokenizer", "load_extension", "readfile", "writefile"})
"""Those that no query may call."""


class QueryError(Exception):
    """SQLite refused a query, or it failed."""


class QueryLimit(QueryError):
    """A query took more time or memory than it may."""


def database_file(folder: str, name: str) -> Path | None:
    """The file of a database in a folder, `NAME.sqlite` or `NAME/NAME.sqlite`; None if missing.

    Args:
        folder: Of databases.
        name: Of one of them. It comes with a row, so it may be no path.
    """
    if not _NAME.fullmatch(name):
        return None
    for file in (Path(folder, f"{name}.sqlite"), Path(folder, name, f"{name}.sqlite")):
        if file.is_file():
            return file
    return None


def run_query(database: Database, sql: str, seconds: float) -> Generator[Row, None, None]:
    """Yields the rows of one query.

    Args:
        database: What it reads.
        sql: One statement that reads and does not write.
        seconds: Of processor time that it may take.

    Raises:
        QueryLimit: It took more time or memory than it may.
        QueryError: It is no such statement, or failed.
    """
    connection = _open(database)
    try:
        _confine(connection, seconds)
        yield from connection.execute(sql)
    except MemoryError:
        raise QueryLimit("out of memory") from None
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        kind = QueryLimit if str(error) in ("interrupted", "out of memory") else QueryError
        raise kind(str(error)) from None
    finally:
        connection.close()


def fetch(database: Database, sql: str, seconds: float, most_rows: int | None = None) -> list[Row]:
    """The rows of one query, at most `most_rows`; see `run_query`.

    Raises:
        QueryLimit: It took more time or memory than it may.
        QueryError: It is no such statement, or failed.
    """
    rows: list[Row] = []
    size = 0
    try:
        with closing(run_query(database, sql, seconds)) as found:
            for row in found:
                rows.append(row)
                size += _VALUE * (1 + len(row)) + sum(map(_length, row))
                if size > _RESULT:
                    raise QueryLimit(f"its result takes more than {_RESULT >> 20} MB")
                if len(rows) == most_rows:
                    break
    except MemoryError:
        raise QueryLimit("out of memory") from None
    return rows


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 0


def _open(database: Database) -> sqlite3.Connection:
    # without `isolation_level`, Python would begin transactions of its own
    if isinstance(database, bytes):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.deserialize(database)
        return connection
    address = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        return sqlite3.connect(address, uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise QueryError(f"cannot read {database}: {error}") from error


def _confine(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA hard_heap_limit = {_MEMORY}")
    connection.execute("PRAGMA temp_store = MEMORY")  # what is sorted must not fill the disk
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA query_only = ON")
    for table in _TABLES:
        with suppress(sqlite3.Error):  # an older SQLite
            connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - of our own
    connection.text_factory = lambda text: text.decode(errors="ignore")
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.set_authorizer(_authorize)
    deadline = time.thread_time() + seconds
    connection.set_progress_handler(lambda: time.thread_time() > deadline, _STEPS)


def _authorize(
    action: int, first: str | None, second: str | None, database: str | None, view: str | None
) -> int:
    allowed = action in _ACTIONS
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in _FUNCTIONS
    elif action == sqlite3.SQLITE_PRAGMA:
        allowed = (first or "").lower() in _PRAGMAS
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
