"""NeMo Gym's rows and results: what a row declares, and what a verified row says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from athlos.connect.declared import DeclaredTool
from athlos.connect.http_server import ServerError
from athlos.errors import ConfigError, JudgeError, VerifierError
from athlos.rows import row_to_task
from athlos.types import Rollout, Task

__all__ = ["PARAMS", "declared_tools", "gym_task", "row_of", "take_result", "with_sampling"]

PARAMS = "responses_create_params"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
# Routes of the protocol, which no row may offer to a model as a tool.
_ROUTES = frozenset(
    {"aggregate_metrics", "close", "docs", "mcp", "redoc", "reset", "reverify_mode", "run",
     "seed_session", "stats", "step", "v1", "verify"}
)  # fmt: skip
_ECHOED = (PARAMS, "response", "reward")
_DIAGNOSES = ("mask_sample", "failure_kind", "failure_reason")
_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tool_calls",
}


def gym_task(row: Any) -> Task:
    """A row as a task whose `info` is the row, unchanged: the server gets it back.

    Raises:
        ConfigError: It is no row of NeMo Gym's, or declares tools that cannot be called.
    """
    if not isinstance(row, dict) or PARAMS not in row:
        raise ConfigError(
            f"the row has no `{PARAMS}`", hint="A NeMo Gym server needs NeMo Gym's rows."
        )
    if row[PARAMS] is None or isinstance(row[PARAMS], dict):
        for _ in declared_tools(row, ""):
            pass
    task = row_to_task(row)
    return Task(prompt=task.prompt, info=row, id=task.id, sampling=task.sampling)


def row_of(task: Task) -> dict[str, Any]:
    """The row that a task is.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(task.info.get(PARAMS), dict):
        raise ConfigError(
            f"task {task.id} is no row of NeMo Gym's: its info has no `{PARAMS}`",
            hint="--tasks FILE takes them.",
        )
    return task.info


def declared_tools(row: Mapping[str, Any], method: str) -> Iterator[DeclaredTool]:
    """Yields the tools that a row declares.

    Raises:
        ConfigError: A name cannot be that of a tool: it becomes a part of a URL.
    """
    for tool in (row.get(PARAMS) or {}).get("tools") or ():
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"`{PARAMS}.tools` has a tool named {str(name)[:100]!r}",
                hint="A name has up to 128 letters, digits, underscores and hyphens.",
            )
        if name in _ROUTES:
            raise ConfigError(
                f"`{PARAMS}.tools` has a tool named {name!r}, which is a route of the protocol"
            )
        if tool.get("type", "function") != "function":
            raise ConfigError(f"tool {name} has type {tool['type']!r:.50}; only functions work")
        parameters = tool.get("parameters")
        yield DeclaredTool(
            name,
            method,
            description=str(tool.get("description") or ""),
            parameters=parameters if isinstance(parameters, dict) else None,
        )


def with_sampling(row: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, Any]:
    """The row with sampling parameters: those without a name there go to `metadata.extra_body`."""
    params = dict(row[PARAMS])
    extra: dict[str, Any] = {}
    for name, value in sampling.items():
        if name in _PARAMETERS:
            params[_PARAMETERS[name]] = value
        else:
            extra[name] = value
    if extra:
        metadata = dict(params.get("metadata") or {})
        before = metadata.get("extra_body")
        try:
            known = msgspec.json.decode(before) if isinstance(before, str) else {}
        except msgspec.DecodeError:
            known = {}
        merged = {**(known if isinstance(known, dict) else {}), **extra}
        params["metadata"] = {**metadata, "extra_body": msgspec.json.encode(merged).decode()}
    return {**row, PARAMS: params}


def take_result(
    result: Mapping[str, Any], row: Mapping[str, Any], rollout: Rollout, where: str
) -> float:
    """The reward of a verified row; what else it says goes to the rollout's extra and metrics.

    Raises:
        JudgeError: The server's judge failed.
        ServerError: The row is marked as failed otherwise, or as one that measures nothing.
        VerifierError: It has no finite reward.
    """
    extras = {
        name: value
        for name, value in result.items()
        if name not in _ECHOED and not (name in row and row[name] == value)
    }
    for name in _DIAGNOSES:
        if extras.get(name) in (None, False):
            extras.pop(name, None)
    if extras.get("mask_sample") is True:
        kind, why = (str(extras.get(name) or "") for name in ("failure_kind", "failure_reason"))
        said = ": ".join(part for part in (kind, why) if part) or "it does not say why"
        raise ServerError(f"{where} says that its reward measures nothing: {said}"[:2000],
                          retryable=True)  # fmt: skip
    failure = extras.get("_ng_failure_class")
    if failure is not None:
        why = next((v for k, v in extras.items() if k.startswith("_ng_failure_judge")), "")
        message = f"{where} reports {failure}{f': {why}' if why else ''}"[:2000]
        if failure == "judge_failed":
            raise JudgeError(message)
        raise ServerError(message, retryable=extras.get("_ng_failure_terminal") is not True)
    reward = result.get("reward")
    if isinstance(reward, bool) or not isinstance(reward, int | float):
        raise VerifierError(f"{where} answered no reward but {str(reward)[:100]!r}")
    if not math.isfinite(reward):
        raise VerifierError(f"{where} answered a reward of {reward}")
    if extras:
        rollout.extra["verify"] = extras
    info = extras.get("info")
    inner = info if isinstance(info, dict) else {}
    groups = (extras, extras.get("reward_components"), inner.get("reward_components"),
              inner.get("metrics"))  # fmt: skip
    for group in groups:
        for name, value in (group if isinstance(group, dict) else {}).items():
            if isinstance(value, bool | int | float) and math.isfinite(value):
                rollout.metrics.setdefault(name, float(value))
    return float(reward)
