"""Questions to made databases, each with a query that answers it, in four grades of difficulty."""

from __future__ import annotations

import sqlite3
from random import Random
from typing import Any, NamedTuple

from athlos.envs.seeds import draw
from athlos.envs.sql_databases import THEMES, VARIANTS, made_database
from athlos.envs.sql_templates import TEMPLATES, Draws

__all__ = ["GRADES", "Question", "sql_question"]

GRADES = tuple(TEMPLATES)
"""1 one table, 2 joins and groups, 3 results of results, 4 analyses with several columns."""

_MOST_ROWS = 60


class Question(NamedTuple):
    """A question and what answers it.

    Attributes:
        database: Name of the database.
        text: The question.
        sql: A query that answers it.
        rows: Its result.
        ordered: Whether the question says in which order the rows come.
        condition: Columns that the question is about, if others only explain them.
        topic: The template.
    """

    database: str
    text: str
    sql: str
    rows: list[tuple[Any, ...]]
    ordered: bool
    condition: list[int]
    topic: str


def sql_question(label: str, seed: int, grade: int, least_rows: int = 1) -> Question:
    """The question with this number; no two splits have one in common.

    Args:
        label: Of the environment, so that each has questions of its own.
        seed: Of the task.
        grade: One of `GRADES`.
        least_rows: How many rows its result has at least.
    """
    return draw(
        f"{label} {grade}",
        seed,
        lambda rng: _drawn(rng, grade, least_rows),
        lambda question: f"{question.database} {question.text}",
    )


def _drawn(rng: Random, grade: int, least_rows: int) -> Question:
    while True:
        theme = THEMES[rng.choice(list(THEMES))]
        name = f"{theme.name}-{rng.randrange(VARIANTS)}"
        template = rng.choice(TEMPLATES[grade])
        connection = sqlite3.connect(":memory:")
        try:
            connection.deserialize(made_database(name))
            asked = template(theme, Draws(connection, rng))
            sql = " ".join(asked.sql.split())
            rows = connection.execute(sql).fetchall()
        finally:
            connection.close()
        # what anybody would guess is no answer worth asking for
        if least_rows <= len(rows) <= _MOST_ROWS and rows[0] not in ((0,), (1,), (None,)):
            topic = template.__name__.strip("_")
            return Question(
                name, asked.text, sql, rows, asked.ordered, list(asked.condition), topic
            )
