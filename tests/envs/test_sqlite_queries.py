"""What a query that a model wrote can do, and what it cannot."""

import os

import pytest
from tests.envs.databases import write

from athlos.envs import sqlite_queries
from athlos.envs.sqlite_queries import QueryError, QueryLimit, database_file, fetch, run_query

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "


def nested(levels, hint=""):
    """A chain of subqueries of which each takes the one before twice."""
    parts = [f"a0 AS {hint} (SELECT 1 AS x)"]
    parts += [
        f"a{n} AS {hint} (SELECT 1 AS x FROM a{n - 1} p, a{n - 1} q)" for n in range(1, levels)
    ]
    return f"WITH {', '.join(parts)} SELECT count(*) FROM a{levels - 1}"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(sqlite_queries, "_MEMORY", 64 * 2**20)
    monkeypatch.setattr(sqlite_queries, "_RESULT", 4 * 2**20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("databases")
    write(folder)
    return folder


@pytest.fixture(scope="module", params=["file", "bytes"])
def database(request, folder):
    file = folder / "pets.sqlite"
    return file if request.param == "file" else file.read_bytes()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT name FROM pets WHERE id < 3", [("Ada",), ("Bo",)]),
        ("VALUES (1), (2)", [(1,), (2,)]),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n + 1 FROM r WHERE n < 3) "
         "SELECT sum(n) FROM r", [(6,)]),
        ("SELECT value FROM json_each('[3]')", [(3,)]),
        ("SELECT name FROM pragma_table_info('pets') WHERE cid = 1", [("name",)]),
        ("SELECT name FROM sqlite_master", [("pets",)]),
        ("SELECT sum(age) OVER (ORDER BY id) FROM pets WHERE id = 1", [(3,)]),
        ("SELECT CAST(x'6aff6b' AS TEXT)", [("jk",)]),
        ("", []),
    ],
)  # fmt: skip
def test_queries_that_read(database, sql, rows):
    assert fetch(database, sql, 5) == rows


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO pets (name) VALUES ('x')",
        "INSERT INTO pets (name) VALUES ('x') RETURNING *",
        "UPDATE pets SET name = 'x'",
        "DELETE FROM pets",
        "DROP TABLE pets",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "CREATE VIRTUAL TABLE x USING fts5(y)",
        "ALTER TABLE pets ADD x",
        "ATTACH 'FOLDER/new.sqlite' AS x",
        "VACUUM INTO 'FOLDER/new.sqlite'",
        "VACUUM",
        "DETACH main",
        "BEGIN",
        "SAVEPOINT x",
        "ANALYZE",
        "PRAGMA journal_mode = WAL",
        "PRAGMA query_only = OFF",
        "PRAGMA hard_heap_limit = 0",
        "PRAGMA temp_store_directory = 'FOLDER'",
        "PRAGMA database_list",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_hard_heap_limit",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('FOLDER/new.sqlite', 'x')",
        "SELECT 1; SELECT 2",
        "SELECT ?",
        "SELECT '\x00'",
        "SELECT '\ud800'",
    ],
)
def test_everything_else_is_refused_and_leaves_nothing(database, folder, sql):
    with pytest.raises(QueryError):
        fetch(database, sql.replace("FOLDER", str(folder)), 5)
    assert os.listdir(folder) == ["pets.sqlite"]
    assert fetch(database, "SELECT count(*), max(name) FROM pets", 5) == [(5, "Di")]


@pytest.mark.parametrize(
    "sql",
    [
        f"{ENDLESS} SELECT n FROM r ORDER BY n",
        f"{ENDLESS} SELECT count(*) FROM r",
        f"{ENDLESS} SELECT count(DISTINCT hex(n)) FROM r",
        f"{ENDLESS} SELECT count(randomblob(900000)) FROM r",
        f"{ENDLESS} SELECT sum(a.n) FROM r a, r b",
        nested(40, "MATERIALIZED"),
        "SELECT count(*) FROM " + ", ".join(f"pets p{n}" for n in range(30)),
        "SELECT " + ", ".join(["hex(zeroblob(400000))"] * 1900),
    ],
)
def test_a_query_takes_no_more_time_and_memory_than_it_may(database, sql):
    with pytest.raises(QueryLimit):
        fetch(database, sql, 0.1)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(1000000000)",
        "SELECT group_concat(hex(zeroblob(300000))) FROM pets",
        "SELECT replace(hex(zeroblob(400000)), '0', '0000000000')",
        "SELECT json_group_array(hex(zeroblob(300000))) FROM pets",
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
        "SELECT " + "+".join(["1"] * 20_000),
        "SELECT 1" + " UNION SELECT 1" * 5000,
        "SELECT '" + "x" * 300_000 + "'",
        "SELECT " + ", ".join(["1"] * 5000),
    ],
)
def test_texts_and_queries_have_a_largest_size(database, sql):
    with pytest.raises(QueryError):
        fetch(database, sql, 5)


def test_a_width_that_is_too_large_gives_nothing(database):
    assert fetch(database, "SELECT printf('%*d', 1000000000, 1)", 5) == [(None,)]


def test_a_result_is_read_only_as_far_as_is_asked_for(database):
    assert fetch(database, f"{ENDLESS} SELECT n FROM r", 5, 3) == [(1,), (2,), (3,)]
    rows = run_query(database, f"{ENDLESS} SELECT n FROM r", 5)
    assert next(rows) == (1,)
    rows.close()


def test_a_result_that_is_kept_has_a_largest_size(database):
    with pytest.raises(QueryLimit, match="4 MB"):
        fetch(database, "SELECT hex(zeroblob(450000)) FROM pets a, pets b, pets c, pets d", 20)


def test_a_name_of_a_database_is_no_path(tmp_path):
    write(tmp_path)
    write(tmp_path, "two", nested=True)
    inner = tmp_path / "inner"
    inner.mkdir()
    assert database_file(str(tmp_path), "pets") == tmp_path / "pets.sqlite"
    assert database_file(str(tmp_path), "two") == tmp_path / "two" / "two.sqlite"
    for name in ("../pets", "..", ".", "", "/etc/passwd", "pets.sqlite\x00", "a/b", "x" * 200):
        assert database_file(str(inner), name) is None


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.sqlite").write_bytes(b"nothing of that kind" * 100)
    with pytest.raises(QueryError):
        fetch(tmp_path / "x.sqlite", "SELECT * FROM pets", 5)
    with pytest.raises(QueryError):
        fetch(tmp_path / "missing.sqlite", "SELECT 1", 5)
    assert not (tmp_path / "missing.sqlite").exists()
