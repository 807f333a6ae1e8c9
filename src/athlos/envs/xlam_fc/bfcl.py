"""The single-turn tasks of the Berkeley Function Calling Leaderboard (package bfcl-eval)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from athlos import ConfigError, Message, Task
from athlos.scoring.possible_calls import first_choice

__all__ = ["CATEGORIES", "OTHER_TYPES", "bfcl_task", "bfcl_tasks", "read_rows"]

CATEGORIES = (
    "simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance", "live_simple",
    "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance",
)  # fmt: skip
"""Those whose values are of Python's types; the irrelevance ones expect no call."""

OTHER_TYPES = ("simple_java", "simple_javascript")
"""Those whose values are texts in another language there, and JSON values here."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_TYPES = {
    "dict": "object", "HashMap": "object", "float": "number", "double": "number", "tuple": "array",
    "Array": "array", "ArrayList": "array", "String": "string", "char": "string",
    "long": "integer", "Boolean": "boolean",
}  # fmt: skip
_KNOWN = frozenset({"object", "number", "array", "string", "integer", "boolean"})


def bfcl_tasks(split: str, size: int) -> Iterator[Task]:
    """Yields tasks of all categories, those of one after the other.

    Raises:
        ConfigError: The package is not there, or the split.
    """
    if split != "test":
        raise ConfigError(f"there is no split {split!r} of BFCL", hint="There is: test")
    if size < 1:
        raise ConfigError(f"size must be at least 1, not {size}")
    count = 0
    for category in CATEGORIES:
        for row, answers in read_rows(category):
            if count == size:
                return
            count += 1
            yield bfcl_task(category, row, answers)


def read_rows(category: str) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Yields the rows of a category, each with its answers; [] where no call is expected.

    Raises:
        ConfigError: The package is not there.
    """
    spec = importlib.util.find_spec("bfcl_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "xlam_fc: the tasks of BFCL are those of the package bfcl-eval, which is missing",
            hint="pip install --no-deps bfcl-eval, or --env.source generated",
        )
    folder = Path(spec.submodule_search_locations[0]) / "data"
    name = f"BFCL_v4_{category}.json"
    known = folder / "possible_answer" / name
    answers = {row["id"]: row["ground_truth"] for row in _lines(known)} if known.exists() else {}
    for row in _lines(folder / name):
        yield row, answers.get(row["id"], [])


def bfcl_task(category: str, row: dict[str, Any], answers: list[Any]) -> Task:
    """A row as a task; names of tools have underscores for what a server may not take."""
    tools = [
        {
            "name": _name(tool["name"]),
            "description": tool["description"],
            "parameters": _schema(tool["parameters"]),
        }
        for tool in row["function"]
    ]
    required = {tool["name"]: tool["parameters"].get("required") or () for tool in tools}
    possible = [{_name(name): given} for answer in answers for name, given in answer.items()]
    chosen = [first_choice(answer, required.get(next(iter(answer)), ())) for answer in possible]
    return Task(
        prompt=[Message(message["role"], message["content"]) for message in row["question"][0]],
        info={
            "tools": tools,
            "possible_answers": possible,
            "expected_answers": [use._asdict() for use in chosen],
            "category": category,
        },
        id=row["id"],
    )


def _lines(file: Path) -> Iterator[Any]:
    with file.open("rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line)


def _name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)


def _schema(value: Any) -> Any:
    """A JSON Schema from one in BFCL's types; what may be anything has no type."""
    if not isinstance(value, dict):
        return value
    made = {name: each for name, each in value.items() if name not in ("optional", "format")}
    kind = made.pop("type", None)
    kind = _TYPES.get(kind, kind) if isinstance(kind, str) else None
    if kind in _KNOWN:
        made["type"] = kind
    if isinstance(made.get("properties"), dict):
        made["properties"] = {name: _schema(each) for name, each in made["properties"].items()}
    if "items" in made:
        made["items"] = _schema(made["items"])
    return made
