"""Rows of a task file: ours, or NeMo Gym's, become tasks.

A row of ours has `prompt` (text or messages) and may have `info`, `id`, `tools`, `sampling`; one of
NeMo Gym has `responses_create_params`. In both, further top-level fields become part of
`Task.info`; a field that stands in the nested object (`info` or `verifier_metadata`) too has the
nested value. Source of the latter shape: the NeMo Gym documentation of data set rows.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from athlos.errors import ConfigError
from athlos.models.chat import RESERVED
from athlos.responses import read_items
from athlos.types import Task

__all__ = ["check_info", "check_sampling", "check_task", "read_task_file", "row_to_task"]

_GYM = "responses_create_params"
_ID_FIELDS = ("id", "task_id", "uuid", "instance_id", "problem_id")
_RANGES = (
    ("temperature", 0.0, math.inf),
    ("top_p", 1e-9, 1.0),
    ("max_tokens", 1, math.inf),
    ("max_completion_tokens", 1, math.inf),
)
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_output_tokens": "max_tokens",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tool_calls",
}


def read_task_file(
    path: Path,
    tools: Collection[str],
    to_task: Callable[[Any], Task] | None = None,
    required: Sequence[str] = (),
) -> Iterator[Task]:
    """Reads a JSONL file of tasks, one at a time.

    Args:
        path: The file.
        tools: Names of the tools that the environment has; a row may not ask for others.
        to_task: How a row becomes a task, if the environment has a way of its own.
        required: See `check_info`.

    Raises:
        ConfigError: Names the file, the line and the field that is wrong.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"cannot read tasks from {path}: {error.strerror}") from error
    with file:
        empty = True
        for number, line in enumerate(file, 1):
            line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            empty = False
            try:
                task = (to_task or row_to_task)(msgspec.json.decode(line))
                check_task(task, tools, required)
                yield task
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ConfigError(f"{path}:{number}: not valid JSON: {error}") from error
            except ConfigError as error:
                raise ConfigError(f"{path}:{number}: {error.message}", hint=error.hint) from error
        if empty:
            raise ConfigError(f"{path} has no tasks in it")


def check_task(task: Task, tools: Collection[str], required: Sequence[str] = ()) -> None:
    """Checks what a task asks for: tools that the environment has, and parameters that it may set.

    Raises:
        ConfigError: It asks for something else, or lacks what it is scored by.
    """
    for name in task.tools or ():
        if name not in tools:
            raise ConfigError(
                f"the task offers a tool {name!r}, which the environment does not have",
                hint=f"It has: {', '.join(tools) or 'none'}",
            )
    if task.sampling:
        check_sampling(task.sampling)
    check_info(task, required)


def check_info(task: Task, required: Sequence[str]) -> None:
    """Checks that a task has what it is scored by.

    Args:
        task: The task.
        required: Fields of `info`, where null is as good as absent; "a|b" is one of several.

    Raises:
        ConfigError: Names what is missing.
    """
    missing = [
        one for one in required if all(task.info.get(name) is None for name in one.split("|"))
    ]
    if missing:
        said = ", ".join(" or ".join(f"`{name}`" for name in one.split("|")) for one in missing)
        found = ", ".join(f"{name!r:.40}" for name in list(task.info)[:20]) or "nothing"
        raise ConfigError(
            f"the row has no {said}, by which it is scored",
            hint=f"It is on the top level, in `info` or `verifier_metadata`; there is {found}.",
        )


def check_sampling(sampling: Mapping[str, Any]) -> None:
    """Checks that sampling parameters do not replace what an attempt decides itself.

    Raises:
        ConfigError: Names the one that does.
    """
    for name in sorted(RESERVED & sampling.keys()):
        hint = "An attempt uses one completion a call; ask for `samples`." if name == "n" else ""
        raise ConfigError(f"{name!r} is no sampling parameter", hint=hint)
    for name, value in sampling.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"sampling parameter {name} is {value}, which no request can hold")
    for name, lowest, highest in _RANGES:
        value = sampling.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"sampling parameter {name} must be a number, not {value!r:.50}")
        if not lowest <= value <= highest:
            raise ConfigError(f"sampling parameter {name} is {value:g}, out of range")


def row_to_task(row: Any) -> Task:
    """Turns one decoded row into a task.

    Raises:
        ConfigError: The row has no prompt, or a field has the wrong type.
    """
    if not isinstance(row, dict):
        raise ConfigError(f"a task must be a JSON object, not {type(row).__name__}")
    row = dict(row)
    if _GYM in row:
        return _gym_task(row)
    if not row.get("prompt"):
        raise ConfigError(
            "the task has no prompt",
            hint="A row needs `prompt` (text or a list of messages), or "
            "`responses_create_params.input` if it is a NeMo Gym row.",
        )
    own = {name: row.pop(name) for name in ("prompt", "tools", "sampling") if name in row}
    own = {name: value for name, value in own.items() if value is not None}
    info = _nested(row, "info")
    own["id"] = _take_id(row) or _take_id(info)
    return _convert(own | {"info": row | info})


def _gym_task(row: dict[str, Any]) -> Task:
    params = _nested(row, _GYM)
    metadata = _nested(row, "verifier_metadata")
    row.pop("agent_ref", None)
    for name in [name for name in row if name.startswith("_ng_")]:
        del row[name]
    messages = list(read_items(params.get("input"), params.get("instructions")))
    if not messages:
        raise ConfigError("the task has no prompt: `responses_create_params.input` is empty")
    tools = params.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise ConfigError("`responses_create_params.tools` must be a list")
    own: dict[str, Any] = {
        "prompt": messages,
        "id": _take_id(metadata) or _take_id(row),
        "info": row | metadata,
        "tools": None if tools is None else [_tool_name(tool) for tool in tools],
        "sampling": {
            ours: params[theirs]
            for theirs, ours in _SAMPLING.items()
            if params.get(theirs) is not None
        },
    }
    return _convert(own)


def _convert(fields: dict[str, Any]) -> Task:
    try:
        return msgspec.convert(fields, Task)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the task is malformed: {error}") from error


def _nested(row: dict[str, Any], name: str) -> dict[str, Any]:
    value = row.pop(name, None)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"`{name}` must be an object, not {type(value).__name__}")
    return value


def _take_id(fields: dict[str, Any]) -> str:
    """The row's own name for the task, which stays in `info` too: a verifier may want it."""
    for name in _ID_FIELDS:
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
            return str(value)
    return ""


def _tool_name(tool: Any) -> str:
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str):
        raise ConfigError("an entry of `responses_create_params.tools` has no name")
    return name
