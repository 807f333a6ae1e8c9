"""`/aggregate_metrics`: figures of scored rows, under NeMo Gym's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from athlos.runs.gym_metrics import describe, group_metrics, numbers

__all__ = ["aggregate"]

Row = Mapping[str, Any]

_AGENT = {"agent_ref": {"name": "agent"}}  # the rows of a request do not say which it was
_LARGEST = 1e150  # the square of more is no number; what comes from a client may be anything


def aggregate(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of these rows, in the shape of the protocol."""
    found = [_numbers(row) for row in rows]
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        index = row.get("_ng_task_index")
        groups.setdefault(index if type(index) is int else 0, []).append(place)
    levels = []
    for task, places in sorted(groups.items()):
        samples = [rows[at].get("_ng_rollout_index", order) for order, at in enumerate(places)]
        values = [found[at] for at in places]
        levels.append(group_metrics(task, _AGENT, values, samples, len(places)))
    overall = describe(found)
    return {
        "group_level_metrics": levels,
        "agent_metrics": overall,
        "key_metrics": {name: value for name, value in overall.items() if name.startswith("mean/")},
    }


def _numbers(row: Row) -> dict[str, float]:
    found = numbers(row)
    found.pop("_ng_attempt_index", None)
    return {name: float(value) for name, value in found.items() if abs(value) < _LARGEST}
