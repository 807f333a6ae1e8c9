"""Templates of questions to made databases, in four grades, each with a query that answers it.

A template is a function of a theme and of what it draws from, to a text and its query. Where
several rows may be best, all are asked for, so that no tie has two answers. Numbers that are
divided are rounded, so that the order in which they are added does not show.
"""
# ruff: noqa: S608 - all parts of these queries are our own

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from athlos.envs.sql_databases import Theme

__all__ = ["TEMPLATES", "Asked", "Draws"]


class Asked(NamedTuple):
    """A question, its query, and what of the result counts."""

    text: str
    sql: str
    ordered: bool = False
    condition: Sequence[int] = ()


class Draws:
    """Values of a database that a question may name.

    Args:
        connection: To the database.
        rng: Draws them.
    """

    def __init__(self, connection: sqlite3.Connection, rng: Random) -> None:
        self._connection = connection
        self.rng = rng

    def one(self, table: str, column: str) -> Any:
        """A value of a column."""
        found = self._connection.execute(
            f"SELECT DISTINCT {column} FROM {table} ORDER BY 1"
        ).fetchall()
        return self.rng.choice(found)[0]

    def year(self) -> int:
        """A year in which there are events."""
        return self.rng.randint(2021, 2023)


_Template = Callable[[Theme, Draws], Asked]


# Grade 1: one table.


def _count_by_city(t: Theme, d: Draws) -> Asked:
    city = d.one(t.people, "city")
    return Asked(
        f"How many {t.people} live in {city}?",
        f"SELECT COUNT(*) FROM {t.people} WHERE city = '{city}'",
    )


def _titles_over(t: Theme, d: Draws) -> Asked:
    kind, least = d.one(t.things, t.kind), d.rng.randint(20, 80)
    return Asked(
        f"What are the titles of the {t.things} of the {t.kind} {kind} whose {t.number} is over "
        f"{least}?",
        f"SELECT title FROM {t.things} WHERE {t.kind} = '{kind}' AND {t.number} > {least}",
    )


def _mean_of_kind(t: Theme, d: Draws) -> Asked:
    kind = d.one(t.things, t.kind)
    return Asked(
        f"What is the average {t.number} of {t.things} of the {t.kind} {kind}, rounded to two "
        "decimals?",
        f"SELECT ROUND(AVG({t.number}), 2) FROM {t.things} WHERE {t.kind} = '{kind}'",
    )


def _first_people(t: Theme, d: Draws) -> Asked:
    city = d.one(t.people, "city")
    best, word = d.rng.choice([("MIN", "lowest"), ("MAX", "highest")])
    return Asked(
        f"Of all {t.people} from {city}, who has the {word} value of {t.since}? Give the names of "
        "all, if there are several.",
        f"""SELECT name FROM {t.people} WHERE city = '{city}' AND {t.since} =
        (SELECT {best}({t.since}) FROM {t.people} WHERE city = '{city}')""",
    )


def _without_value(t: Theme, d: Draws) -> Asked:
    least = d.rng.randint(2, 11)
    return Asked(
        f"How many {t.events} with {t.amount} of at least {least} have no {t.value} on record?",
        f"SELECT COUNT(*) FROM {t.events} WHERE {t.amount} >= {least} AND {t.value} IS NULL",
    )


def _people_between(t: Theme, d: Draws) -> Asked:
    first = d.rng.randint(1990, 2014)
    last = first + d.rng.randint(1, 5)
    return Asked(
        f"For which {t.people} is {t.since} from {first} to {last}, both years included? Give name "
        "and city, in this order.",
        f"SELECT name, city FROM {t.people} WHERE {t.since} BETWEEN {first} AND {last}",
    )


def _events_in_year(t: Theme, d: Draws) -> Asked:
    year, least = d.year(), d.rng.randint(2, 11)
    return Asked(
        f"How many {t.events} of the year {year} have {t.amount} over {least}?",
        f"""SELECT COUNT(*) FROM {t.events}
        WHERE {t.day} >= '{year}-01-01' AND {t.day} <= '{year}-12-31' AND {t.amount} > {least}""",
    )


# Grade 2: joins, groups, what is missing.


def _total_of_kind(t: Theme, d: Draws) -> Asked:
    kind, year = d.one(t.things, t.kind), d.year()
    return Asked(
        f"What is the sum of {t.amount} over all {t.events} of {year} for {t.things} of the "
        f"{t.kind} {kind}?",
        f"""SELECT SUM(e.{t.amount}) FROM {t.events} e
        JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        WHERE x.{t.kind} = '{kind}' AND strftime('%Y', e.{t.day}) = '{year}'""",
    )


def _events_by_kind(t: Theme, d: Draws) -> Asked:
    city = d.one(t.people, "city")
    return Asked(
        f"For each {t.kind} of {t.things}, how many {t.events} are there by {t.people} from "
        f"{city}? Leave out a {t.kind} without any. Give {t.kind} and number, in this order.",
        f"""SELECT x.{t.kind}, COUNT(*) FROM {t.events} e
        JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        JOIN {t.people} p ON p.{t.person}_id = e.{t.person}_id
        WHERE p.city = '{city}' GROUP BY x.{t.kind}""",
    )


def _people_of_kind(t: Theme, d: Draws) -> Asked:
    kind, city = d.one(t.things, t.kind), d.one(t.people, "city")
    return Asked(
        f"Which {t.people} from {city} have at least one {t.event} for one of the {t.things} of "
        f"the {t.kind} {kind}? Give their names, each once.",
        f"""SELECT DISTINCT p.name FROM {t.people} p
        JOIN {t.events} e ON e.{t.person}_id = p.{t.person}_id
        JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        WHERE p.city = '{city}' AND x.{t.kind} = '{kind}'""",
    )


def _things_without(t: Theme, d: Draws) -> Asked:
    year = d.year()
    return Asked(
        f"What are the titles of the {t.things} that have no {t.event} in {year}?",
        f"""SELECT title FROM {t.things} WHERE {t.thing}_id NOT IN
        (SELECT {t.thing}_id FROM {t.events} WHERE strftime('%Y', {t.day}) = '{year}')""",
    )


def _busy_makers(t: Theme, d: Draws) -> Asked:
    least = d.rng.randint(15, 60)
    return Asked(
        f"Which {t.makers} have more than {least} {t.events} for their {t.things}? Give name and "
        f"number of {t.events}, in this order.",
        f"""SELECT m.name, COUNT(*) FROM {t.makers} m
        JOIN {t.things} x ON x.{t.maker}_id = m.{t.maker}_id
        JOIN {t.events} e ON e.{t.thing}_id = x.{t.thing}_id
        GROUP BY m.{t.maker}_id HAVING COUNT(*) > {least}""",
    )


def _mean_value_by_place(t: Theme, d: Draws) -> Asked:
    least = d.rng.randint(1, 6)
    return Asked(
        f"For each {t.place} of {t.makers}, what is the average {t.value} of the {t.events} for "
        f"their {t.things} with {t.amount} of at least {least}? Count only {t.events} that have a "
        f"{t.value}. Give {t.place} and average, rounded to two decimals, in this order.",
        f"""SELECT m.{t.place}, ROUND(AVG(e.{t.value}), 2) FROM {t.makers} m
        JOIN {t.things} x ON x.{t.maker}_id = m.{t.maker}_id
        JOIN {t.events} e ON e.{t.thing}_id = x.{t.thing}_id
        WHERE e.{t.amount} >= {least} AND e.{t.value} IS NOT NULL GROUP BY m.{t.place}""",
    )


# Grade 3: results of results, shares, windows.


def _best_people(t: Theme, d: Draws) -> Asked:
    kind = d.one(t.things, t.kind)
    return Asked(
        f"Who has the largest sum of {t.amount} over {t.events} for {t.things} of the {t.kind} "
        f"{kind}? Give name and sum, in this order; all, if there are several.",
        f"""WITH sums AS (
        SELECT p.name, SUM(e.{t.amount}) AS total FROM {t.people} p
        JOIN {t.events} e ON e.{t.person}_id = p.{t.person}_id
        JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        WHERE x.{t.kind} = '{kind}' GROUP BY p.{t.person}_id)
        SELECT name, total FROM sums WHERE total = (SELECT MAX(total) FROM sums)""",
    )


def _best_by_place(t: Theme, d: Draws) -> Asked:
    year = d.year()
    return Asked(
        f"For each {t.place} of {t.makers}, which of their {t.things} has the most {t.events} in "
        f"{year}? Give {t.place}, title and number of {t.events}, in this order; all, if there are "
        f"several. Leave out a {t.place} without {t.events} in that year.",
        f"""WITH counts AS (
        SELECT m.{t.place} AS place, x.title, COUNT(*) AS number,
        RANK() OVER (PARTITION BY m.{t.place} ORDER BY COUNT(*) DESC) AS position
        FROM {t.makers} m
        JOIN {t.things} x ON x.{t.maker}_id = m.{t.maker}_id
        JOIN {t.events} e ON e.{t.thing}_id = x.{t.thing}_id
        WHERE strftime('%Y', e.{t.day}) = '{year}' GROUP BY x.{t.thing}_id)
        SELECT place, title, number FROM counts WHERE position = 1""",
    )


def _above_mean(t: Theme, d: Draws) -> Asked:
    city = d.one(t.people, "city")
    return Asked(
        f"Take for each of the {t.people} the number of their {t.events}. Which {t.people} from "
        f"{city} have more than the average of all {t.people} that have any? Give name and number, "
        "in this order.",
        f"""WITH counts AS (
        SELECT {t.person}_id, COUNT(*) AS number FROM {t.events} GROUP BY {t.person}_id)
        SELECT p.name, c.number FROM {t.people} p
        JOIN counts c ON c.{t.person}_id = p.{t.person}_id
        WHERE p.city = '{city}' AND c.number > (SELECT AVG(number) FROM counts)""",
    )


def _share_of_kind(t: Theme, d: Draws) -> Asked:
    city, kind = d.one(t.people, "city"), d.one(t.things, t.kind)
    return Asked(
        f"What percentage of the {t.events} of {t.people} from {city} is for {t.things} of the "
        f"{t.kind} {kind}? Give a number from 0 to 100, rounded to two decimals.",
        f"""SELECT ROUND(100.0 * SUM(x.{t.kind} = '{kind}') / COUNT(*), 2) FROM {t.events} e
        JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        JOIN {t.people} p ON p.{t.person}_id = e.{t.person}_id WHERE p.city = '{city}'""",
    )


def _many_kinds(t: Theme, d: Draws) -> Asked:
    least, year = d.rng.randint(2, 5), d.year()
    return Asked(
        f"Which {t.people} have in {year} {t.events} for {t.things} of at least {least} different "
        f"values of {t.kind}, all {t.events} of that year with a {t.value}? Give their names.",
        f"""SELECT p.name FROM {t.people} p
        JOIN {t.events} e ON e.{t.person}_id = p.{t.person}_id
        JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        WHERE strftime('%Y', e.{t.day}) = '{year}' GROUP BY p.{t.person}_id
        HAVING COUNT(DISTINCT x.{t.kind}) >= {least} AND COUNT(e.{t.value}) = COUNT(*)""",
    )


def _best_month(t: Theme, d: Draws) -> Asked:
    kind = d.one(t.things, t.kind)
    return Asked(
        f"In which months is the sum of {t.amount} over the {t.events} for {t.things} of the "
        f"{t.kind} {kind} the largest? Give month, such as 2021-07, and sum, in this order; all, "
        "if there are several.",
        f"""WITH months AS (
        SELECT strftime('%Y-%m', e.{t.day}) AS month, SUM(e.{t.amount}) AS total
        FROM {t.events} e JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        WHERE x.{t.kind} = '{kind}' GROUP BY month)
        SELECT month, total FROM months WHERE total = (SELECT MAX(total) FROM months)""",
    )


# Grade 4: analyses with several columns.


def _running_total(t: Theme, d: Draws) -> Asked:
    year, kind = d.year(), d.one(t.things, t.kind)
    return Asked(
        f"For each month of {year} with {t.events} for {t.things} of the {t.kind} {kind}: the "
        f"month, such as 2021-07, the sum of {t.amount}, and the sum from January to this month, "
        "from the first month to the last.",
        f"""WITH months AS (
        SELECT strftime('%Y-%m', e.{t.day}) AS month, SUM(e.{t.amount}) AS total
        FROM {t.events} e JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        WHERE x.{t.kind} = '{kind}' AND strftime('%Y', e.{t.day}) = '{year}' GROUP BY month)
        SELECT month, total, SUM(total) OVER (ORDER BY month) AS so_far
        FROM months ORDER BY month""",
        ordered=True,
    )


def _yearly_change(t: Theme, d: Draws) -> Asked:
    city = d.one(t.people, "city")
    return Asked(
        f"For each {t.kind} of {t.things}: the number of {t.events} of {t.people} from {city} in "
        f"2022, that in 2023, and by how many it rose. Leave out a {t.kind} that has none of "
        "these in either year.",
        f"""SELECT x.{t.kind}, SUM(strftime('%Y', e.{t.day}) = '2022') AS earlier,
        SUM(strftime('%Y', e.{t.day}) = '2023') AS later,
        SUM(strftime('%Y', e.{t.day}) = '2023') - SUM(strftime('%Y', e.{t.day}) = '2022') AS rise
        FROM {t.events} e
        JOIN {t.things} x ON x.{t.thing}_id = e.{t.thing}_id
        JOIN {t.people} p ON p.{t.person}_id = e.{t.person}_id
        WHERE p.city = '{city}' AND strftime('%Y', e.{t.day}) IN ('2022', '2023')
        GROUP BY x.{t.kind}""",
    )


def _shares(t: Theme, d: Draws) -> Asked:
    year = d.year()
    return Asked(
        f"Which share of the sum of {t.amount} over all {t.events} of {year} has each of the "
        f"{t.makers}, through their {t.things}? Give name and percentage, from 0 to 100, rounded "
        "to two decimals. Leave out those without any.",
        f"""SELECT m.name,
        ROUND(100.0 * SUM(e.{t.amount}) / SUM(SUM(e.{t.amount})) OVER (), 2) AS share
        FROM {t.makers} m
        JOIN {t.things} x ON x.{t.maker}_id = m.{t.maker}_id
        JOIN {t.events} e ON e.{t.thing}_id = x.{t.thing}_id
        WHERE strftime('%Y', e.{t.day}) = '{year}' GROUP BY m.{t.maker}_id""",
    )


def _longest_gap(t: Theme, d: Draws) -> Asked:
    city = d.one(t.people, "city")
    return Asked(
        f"For each of the {t.people} from {city} with at least two {t.events}: the name, and the "
        f"largest number of days from one {t.event} to the next one. From the largest number to "
        "the smallest; those with the same number by name.",
        f"""WITH gaps AS (
        SELECT {t.person}_id, julianday({t.day}) - julianday(LAG({t.day}) OVER (
        PARTITION BY {t.person}_id ORDER BY {t.day}, {t.event}_id)) AS days FROM {t.events})
        SELECT p.name, CAST(MAX(g.days) AS INTEGER) AS longest FROM gaps g
        JOIN {t.people} p ON p.{t.person}_id = g.{t.person}_id
        WHERE p.city = '{city}' AND g.days IS NOT NULL
        GROUP BY p.{t.person}_id ORDER BY longest DESC, p.name""",
        ordered=True,
    )


def _best_in_kind(t: Theme, d: Draws) -> Asked:
    least = d.rng.randint(1, 6)
    return Asked(
        f"Count only {t.events} with {t.amount} of at least {least}. In each {t.kind}, which of "
        f"the {t.things} has the largest sum of {t.amount}? All, if there are several. The titles "
        "matter; further columns may explain them.",
        f"""WITH sums AS (
        SELECT x.title, x.{t.kind} AS kind, SUM(e.{t.amount}) AS total,
        RANK() OVER (PARTITION BY x.{t.kind} ORDER BY SUM(e.{t.amount}) DESC) AS position
        FROM {t.things} x JOIN {t.events} e ON e.{t.thing}_id = x.{t.thing}_id
        WHERE e.{t.amount} >= {least} GROUP BY x.{t.thing}_id)
        SELECT title, kind, total FROM sums WHERE position = 1""",
        condition=(0,),
    )


def _first_and_repeat(t: Theme, d: Draws) -> Asked:
    year = d.year()
    return Asked(
        f"For each city: how many of its {t.people} have any {t.events} in {year}, and how many "
        "have three or more in that year? Leave out cities without any. Give city and both "
        "numbers.",
        f"""WITH counts AS (
        SELECT {t.person}_id, COUNT(*) AS number FROM {t.events}
        WHERE strftime('%Y', {t.day}) = '{year}' GROUP BY {t.person}_id)
        SELECT p.city, COUNT(*) AS active, SUM(c.number >= 3) AS loyal FROM counts c
        JOIN {t.people} p ON p.{t.person}_id = c.{t.person}_id GROUP BY p.city""",
    )


TEMPLATES: dict[int, list[_Template]] = {
    1: [
        _count_by_city, _titles_over, _mean_of_kind, _first_people, _without_value, _people_between,
        _events_in_year,
    ],
    2: [
        _total_of_kind, _events_by_kind, _people_of_kind, _things_without, _busy_makers,
        _mean_value_by_place,
    ],
    3: [
        _best_people, _best_by_place, _above_mean, _share_of_kind, _many_kinds, _best_month,
    ],
    4: [
        _running_total, _yearly_change, _shares, _longest_gap, _best_in_kind, _first_and_repeat,
    ],
}  # fmt: skip
"""By grade."""
