"""Databases made from a name: six themes of four tables each, with rows drawn from a seed.

`shop-17` is the database number 17 of the theme `shop`. All themes have one form, so that questions
can be asked of any: people and things, who makes the things, and events that join a person and a
thing. Some people and things have no event; one event in five lacks a value.
"""

from __future__ import annotations

import re
import sqlite3
from datetime import date, timedelta
from functools import lru_cache
from random import Random
from typing import NamedTuple

__all__ = ["THEMES", "VARIANTS", "Theme", "made_database", "schema_text", "theme_of"]

VARIANTS = 40
"""How many databases a theme has."""

_FIRST_DAY = date(2021, 1, 1)
_DAYS = 3 * 365
_NAMED = re.compile(r"([a-z]+)-(0|[1-9][0-9]{0,2})")


def _words(text: str) -> list[str]:
    return text.split()


_FIRST = _words(
    "Ada Bruno Clara Dario Elsa Felix Greta Hugo Ines Jonas Karin Leo Mara Nils Olga Pavel Rosa "
    "Sven Tilda Uwe Vera Wim Yara Zeno"
)
_LAST = _words(
    "Abel Berg Costa Dahl Egger Fuchs Grau Holm Ivens Jung Koch Lund Moser Nowak Orban Petit "
    "Quast Rossi Sala Thorn Urban Vogt Weiss Zech"
)
_CITIES = ["Aarhus", "Basel", "Cork", "Delft", "Esbjerg", "Faro", "Ghent"]
_ADJECTIVES = _words(
    "Amber Bold Calm Daring Early Fine Grand Hidden Iron Jolly Keen Light Misty Noble Open Proud "
    "Quiet Rapid Silver True"
)
_STEMS = ["Nor", "Vel", "Tar", "Mon", "Ker", "Lis", "Bal", "Dor", "Fen", "Gal", "Hal", "Jor"]
_ENDINGS = ["vik", "mark", "ona", "eda", "ium", "aro"]
_COUNTRIES = ["Austria", "Belgium", "Chile", "Denmark", "Estonia"]


class Theme(NamedTuple):
    """What the tables, columns and rows of a database are called.

    Attributes:
        name: Of the theme.
        person: One of the people; with an s, the table.
        since: Column with the year that a person has.
        thing: One of the things.
        things: Their table.
        kind: Column with the kind of a thing.
        kinds: What it may be.
        number: Column with a number that a thing has.
        nouns: Last words of things' titles.
        maker: Who makes a thing.
        makers: Their table.
        place: Column that says where makers are.
        places: What it may be.
        event: One of the events; with an s, the table.
        day: Column with the day of an event.
        amount: Column with its number, a small integer.
        value: Column with a further number, which may be missing.
    """

    name: str
    person: str
    since: str
    thing: str
    things: str
    kind: str
    kinds: list[str]
    number: str
    nouns: list[str]
    maker: str
    makers: str
    place: str
    places: list[str]
    event: str
    day: str
    amount: str
    value: str

    @property
    def people(self) -> str:
        """The table of the people."""
        return f"{self.person}s"

    @property
    def events(self) -> str:
        """The table of the events."""
        return f"{self.event}s"


_LIST = [
    Theme("shop", "customer", "joined_in", "product", "products",
          "category", _words("garden kitchen office sport travel"),
          "price", _words("Lamp Kettle Chair Tent Basket"),
          "supplier", "suppliers", "country", _COUNTRIES,
          "order", "ordered_on", "quantity", "discount"),
    Theme("library", "member", "joined_in", "book", "books",
          "genre", _words("biography crime fantasy poetry science"),
          "cost", _words("River Garden Letter Harbour Winter"),
          "publisher", "publishers", "country", _COUNTRIES,
          "loan", "lent_on", "days", "fine"),
    Theme("clinic", "patient", "born_in", "treatment", "treatments",
          "field", _words("dental eyes heart joints skin"),
          "fee", _words("Check Scan Therapy Course Test"),
          "department", "departments", "building", _words("Annex East Main North Tower"),
          "visit", "visited_on", "minutes", "refund"),
    Theme("school", "student", "enrolled_in", "course", "courses",
          "subject", _words("art biology history logic music"),
          "credit", _words("Seminar Lecture Studio Colloquium Workshop"),
          "faculty", "faculties", "campus", ["Hill", "Lake", "Old Town", "Park", "Station"],
          "exam", "taken_on", "hours", "grade"),
    Theme("railway", "passenger", "registered_in", "train", "trains",
          "service", _words("express freight local night regional"),
          "fare", _words("Arrow Star Comet Falcon Pilgrim"),
          "operator", "operators", "country", _COUNTRIES,
          "booking", "booked_on", "seats", "surcharge"),
    Theme("cinema", "viewer", "joined_in", "film", "films",
          "genre", _words("animation comedy drama horror western"),
          "budget", _words("Road Shadow Promise Island Dance"),
          "studio", "studios", "country", _COUNTRIES,
          "ticket", "bought_on", "seats", "rating"),
]  # fmt: skip

THEMES = {theme.name: theme for theme in _LIST}
"""By name."""


def theme_of(name: str) -> Theme | None:
    """The theme of the database of a name; None if no database has it."""
    found = _NAMED.fullmatch(name)
    if found is None or int(found[2]) >= VARIANTS:
        return None
    return THEMES.get(found[1])


def schema_text(name: str) -> str:
    """The tables of a database as they are declared, each with three of its rows as comments."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(made_database(name))
    parts: list[str] = []
    for table, sql in connection.execute("SELECT name, sql FROM sqlite_master").fetchall():
        rows = connection.execute(f"SELECT * FROM {table} LIMIT 3").fetchall()  # noqa: S608
        shown = [", ".join("NULL" if v is None else str(v) for v in row) for row in rows]
        parts.append("\n".join([f"{sql};", *(f"/* {row} */" for row in shown)]))
    connection.close()
    return "\n\n".join(parts)


@lru_cache(maxsize=len(_LIST) * VARIANTS)
def made_database(name: str) -> bytes:
    """The file of a database.

    Raises:
        ValueError: There is no database of that name.
    """
    theme = theme_of(name)
    if theme is None:
        raise ValueError(f"there is no database {name!r:.100}")
    connection = sqlite3.connect(":memory:")
    connection.executescript(_declarations(theme))
    _fill(connection, theme, Random(f"athlos sql {name}"))
    connection.commit()
    made = connection.serialize()
    connection.close()
    return made


def _declarations(theme: Theme) -> str:
    t = theme
    return f"""
CREATE TABLE {t.people} (
  {t.person}_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  city TEXT NOT NULL,
  {t.since} INTEGER NOT NULL
);
CREATE TABLE {t.makers} (
  {t.maker}_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  {t.place} TEXT NOT NULL
);
CREATE TABLE {t.things} (
  {t.thing}_id INTEGER PRIMARY KEY,
  title TEXT NOT NULL,
  {t.kind} TEXT NOT NULL,
  {t.number} REAL NOT NULL,
  {t.maker}_id INTEGER NOT NULL REFERENCES {t.makers}
);
CREATE TABLE {t.events} (
  {t.event}_id INTEGER PRIMARY KEY,
  {t.person}_id INTEGER NOT NULL REFERENCES {t.people},
  {t.thing}_id INTEGER NOT NULL REFERENCES {t.things},
  {t.day} TEXT NOT NULL,
  {t.amount} INTEGER NOT NULL,
  {t.value} REAL
);
"""


def _fill(connection: sqlite3.Connection, theme: Theme, rng: Random) -> None:
    def insert(table: str, rows: list[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608

    cities = rng.sample(_CITIES, 5)
    people = rng.sample([f"{first} {last}" for first in _FIRST for last in _LAST], 40)
    insert(
        theme.people,
        [
            (n, name, rng.choice(cities), rng.randint(1990, 2019))
            for n, name in enumerate(people, 1)
        ],
    )
    makers = rng.sample([stem + ending for stem in _STEMS for ending in _ENDINGS], 8)
    insert(theme.makers, [(n, name, rng.choice(theme.places)) for n, name in enumerate(makers, 1)])
    titles = rng.sample([f"{a} {noun}" for a in _ADJECTIVES for noun in theme.nouns], 30)
    things: list[tuple[object, ...]] = [
        (n, title, rng.choice(theme.kinds), rng.randint(20, 999) / 10, rng.randint(1, len(makers)))
        for n, title in enumerate(titles, 1)
    ]
    insert(theme.things, things)
    busy = rng.sample(range(1, len(people) + 1), 34)
    used = rng.sample(range(1, len(things) + 1), 26)
    events: list[tuple[object, ...]] = []
    for number in range(1, rng.randint(220, 320)):
        # the lower of two draws: some have many events, and some have few
        person = busy[min(rng.randrange(len(busy)), rng.randrange(len(busy)))]
        thing = used[min(rng.randrange(len(used)), rng.randrange(len(used)))]
        day = _FIRST_DAY + timedelta(rng.randrange(_DAYS))
        value = rng.randint(1, 200) / 20 if rng.random() < 0.8 else None
        events.append((number, person, thing, day.isoformat(), rng.randint(1, 12), value))
    insert(theme.events, events)
