"""Documents of our own to write: a topic, a format, and the paths that the data must have.

`document` maps a seed, a level and a format to one task; the same ones give the same task on every
machine.
"""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from athlos.envs.seeds import draw

__all__ = ["FORMATS", "LEVELS", "Document", "document"]

FORMATS = ("json", "yaml", "toml", "xml", "csv")
LEVELS = range(1, 4)
"""1: one level of names; 2: objects in it; 3: lists of objects as well."""


@dataclass(frozen=True, slots=True)
class Document:
    """One task."""

    topic: str
    paths: tuple[str, ...]
    sample_answer: str
    """A document that has them."""


_TOPICS = [
    "a cargo ship", "a school trip", "an orchard", "a chess club", "a bakery", "a weather station",
    "a museum", "a repair shop", "a choir", "a library branch", "a ferry line", "a film festival",
]  # fmt: skip
_NAMES = [
    "title", "owner", "city", "opened", "budget", "status", "contact", "capacity", "season",
    "rating", "notes", "manager", "phone", "address", "schedule", "region", "license", "sponsor",
]  # fmt: skip
_GROUPS = ["details", "location", "people", "finance", "history", "contract"]
_LISTS = ["items", "events", "members", "steps", "awards"]


def document(seed: int, level: int, output_type: str) -> Document:
    """The task with this number at this level, in a format."""
    return draw(
        f"structeval {level} {output_type}",
        seed,
        lambda rng: _drawn(rng, level, output_type),
        lambda made: made.topic + " ".join(made.paths),
    )


def _drawn(rng: Random, level: int, output_type: str) -> Document:
    names = rng.sample(_NAMES, 9)
    topic = rng.choice(_TOPICS)
    if output_type == "csv":
        columns = names[: 2 + level * 2]
        rows = "\n".join(",".join(f"{name} {n}" for name in columns) for n in range(2))
        sample = ",".join(columns) + "\n" + rows
        return Document(topic, tuple(f"csv::{name}" for name in columns), sample)
    data: dict[str, Any] = dict.fromkeys(names[:3], "x")
    if level > 1:
        data[rng.choice(_GROUPS)] = dict.fromkeys(names[3:6], "x")
    if level > 2:
        data[rng.choice(_LISTS)] = [dict.fromkeys(names[6:8], "x") for _ in range(2)]
    if output_type == "xml":
        data = {"record": data}
    return Document(topic, tuple(_paths(data)), _written(data, output_type))


def _paths(node: Any, path: str = "") -> list[str]:
    if isinstance(node, dict):
        before = f"{path}." if path else ""
        return [one for name, child in node.items() for one in _paths(child, before + name)]
    if isinstance(node, list):
        return [one for n, child in enumerate(node) for one in _paths(child, f"{path}[{n}]")]
    return [path]


def _written(data: dict[str, Any], output_type: str) -> str:
    if output_type == "xml":
        return _elements(data)
    if output_type == "toml":
        return "\n".join(f"{name} = {_toml(value)}" for name, value in data.items())
    return json.dumps(data)  # YAML reads it as well


def _elements(data: dict[str, Any]) -> str:
    return "".join(
        f"<{name}>{_elements(one) if isinstance(one, dict) else one}</{name}>"
        for name, value in data.items()
        for one in (value if isinstance(value, list) else [value])
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
