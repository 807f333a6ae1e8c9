"""Extraction tasks of our own: a paragraph about a record, and the schema that its data must have.

`record` maps a seed, a level and a format to one task; the same ones give the same task on every
machine.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from athlos.envs.seeds import draw
from athlos.scoring.data_formats import DataFormat

__all__ = ["LEVELS", "Record", "record", "written"]

LEVELS = range(1, 4)
"""1: three fields; 2: six; 3: eight, with a list and a nested object."""


@dataclass(frozen=True, slots=True)
class Record:
    """One task."""

    text: str
    """Says the data."""
    schema: Mapping[str, Any]
    """JSON Schema of it; for CSV of a list of rows."""
    data: Any
    """An answer that fits."""


_NAMES = ["Ada", "Boris", "Chen", "Dalia", "Emil", "Farah", "Goran", "Hana", "Ivo", "Jana", "Kofi"]
_SURNAMES = ["Alder", "Birch", "Cole", "Dorn", "Engel", "Falk", "Grove", "Holm", "Iver", "Jade"]
_TOWNS = ["Porto", "Graz", "Turku", "Bergen", "Gent", "Split", "Brno", "Vilnius", "Cork", "Basel"]
_TRADES = ["baker", "surveyor", "nurse", "luthier", "gardener", "welder", "teacher", "pilot"]
_SKILLS = ["chess", "sailing", "first aid", "welding", "Latin", "juggling", "archery", "pottery"]

_FIRST = ["club", "team", "shop", "tour", "camp", "fair", "guild", "crew", "class", "panel"]
_SECOND = ["entry", "card", "sheet", "file", "form", "line", "slot", "badge", "pass", "sign"]

_FIELDS: list[tuple[str, str, Callable[[Random], Any], str]] = [
    ("name", "string", lambda rng: f"{rng.choice(_NAMES)} {rng.choice(_SURNAMES)}", "Name: {}."),
    ("age", "integer", lambda rng: rng.randint(19, 80), "The age is {}."),
    ("member", "boolean", lambda rng: rng.random() < 0.5, "Whether a member of the club: {}."),
    ("town", "string", lambda rng: rng.choice(_TOWNS), "The home town is {}."),
    ("height", "number", lambda rng: rng.randint(151, 199) / 100, "The height is {} metres."),
    ("trade", "string", lambda rng: rng.choice(_TRADES), "The trade is that of a {}."),
]  # fmt: skip


def record(seed: int, level: int, data_format: DataFormat) -> Record:
    """The task with this number at this level, for an answer in a format."""
    label = f"structured {level} {data_format}"
    return draw(label, seed, lambda rng: _drawn(rng, level, data_format), lambda made: made.text)


def _drawn(rng: Random, level: int, data_format: DataFormat) -> Record:
    before = f"{rng.choice(_FIRST)}_{rng.choice(_SECOND)}_"  # so that tasks differ in their form
    if data_format == "csv":
        rows = [_flat(rng, level, before) for _ in range(level + 1)]
        text = "\n".join(f"Entry {n}: {said}" for n, (said, _, _) in enumerate(rows, start=1))
        schema = {"type": "array", "items": _object(rows[0][1]), "minItems": level + 1}
        return Record(text, schema, [data for _, _, data in rows])
    said, properties, data = _flat(rng, level, before)
    if level == max(LEVELS):
        skills = rng.sample(_SKILLS, 3)
        street, number = f"{rng.choice(_SURNAMES)} Street", rng.randint(1, 90)
        said += f" Skills: {', '.join(skills)}. The address is {street}, house number {number}."
        properties["skills"] = {"type": "array", "items": {"type": "string"}, "minItems": 3}
        properties["address"] = _object(
            {"street": {"type": "string"}, "number": {"type": "integer"}}
        )
        data |= {"skills": skills, "address": {"street": street, "number": number}}
    if data_format == "xml":  # a document has one element
        return Record(said, _object({"record": _object(properties)}), {"record": data})
    return Record(said, _object(properties), data)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _flat(rng: Random, level: int, before: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    fields = _FIELDS[: 3 if level == 1 else 6]
    values = [make(rng) for _, _, make, _ in fields]
    said = " ".join(field[3].format(value) for field, value in zip(fields, values, strict=True))
    names = [before + field[0] for field in fields]
    properties = {name: {"type": field[1]} for name, field in zip(names, fields, strict=True)}
    return said, properties, dict(zip(names, values, strict=True))


def written(data: Any, data_format: DataFormat) -> str:
    """The data in a format, as an answer may have it."""
    if data_format == "csv":
        text = io.StringIO()
        table = csv.DictWriter(text, list(data[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(data)
        return text.getvalue()
    if data_format == "xml":
        return "".join(_element(name, value) for name, value in data.items())
    if data_format == "toml":
        return "\n".join(_pair(name, value) for name, value in data.items())
    return json.dumps(data)  # YAML reads it as well


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, item) for item in value)
    if isinstance(value, dict):
        value = "".join(_element(key, item) for key, item in value.items())
    return f"<{name}>{str(value).lower() if isinstance(value, bool) else value}</{name}>"


def _pair(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{name} = {{{', '.join(_pair(key, item) for key, item in value.items())}}}"
    return f"{name} = {json.dumps(value)}"
