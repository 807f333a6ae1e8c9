"""A small database for golden cases of the SQL environments."""

import sqlite3

SCRIPT = """
CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, weight REAL, age INTEGER);
INSERT INTO pets VALUES (1, 'Ada', 'cat', 4.0, 3), (2, 'Bo', 'dog', 12.504, NULL),
  (3, 'Cy', 'dog', 9.999, 7), (4, 'Di', 'cat', 3.5, 3), (5, 'Bo', 'owl', NULL, 1);
"""


def write(folder, name="pets", *, nested=False):
    """Writes the database into a folder, which it returns as text."""
    file = folder / name / f"{name}.sqlite" if nested else folder / f"{name}.sqlite"
    file.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(file)
    connection.executescript(SCRIPT)
    connection.close()
    return str(folder)


def fenced(sql):
    """A query as it is answered."""
    return f"Here it is.\n```sql\n{sql}\n```"
