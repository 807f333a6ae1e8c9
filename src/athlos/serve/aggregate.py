"""`/aggregate_metrics`: figures of scored rows, under NeMo Gym's names.

Every number on the top level of the rows, and of `response.usage`, has a mean, a maximum, a
minimum, a median and a standard deviation: over all rows, and over those of each task. Source: the
NeMo Gym protocol.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["aggregate"]

Row = Mapping[str, Any]

_NO_FIELD = ("_ng_task_index", "_ng_rollout_index", "_ng_attempt_index")
_FIGURES: tuple[tuple[str, Callable[[Sequence[float]], float]], ...] = (
    ("mean", statistics.fmean),
    ("max", max),
    ("min", min),
    ("median", statistics.median),
    ("std", lambda values: statistics.stdev(values) if len(values) > 1 else 0.0),
)


def aggregate(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of these rows, in the shape of the protocol."""
    numbers = [_numbers(row) for row in rows]
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        index = row.get("_ng_task_index")
        groups.setdefault(index if type(index) is int else 0, []).append(place)
    levels = []
    for task, places in sorted(groups.items()):
        infos = [
            {
                "rollout_id": f"{task}:{rows[place].get('_ng_rollout_index', order)}",
                "_ng_task_index": task,
                "_ng_rollout_index": rows[place].get("_ng_rollout_index", order),
                **numbers[place],
            }
            for order, place in enumerate(places)
        ]
        levels.append(
            {
                "_ng_task_index": task,
                "sample": {"agent_ref": {"name": "agent"}},
                "num_rollouts": len(places),
                "expected_num_rollouts": len(places),
                "missing_num_rollouts": 0,
                "reward_profile_completion_pct": 100.0,
                "rollout_infos": infos,
                **_figures(numbers[place] for place in places),
            }
        )
    overall = _figures(numbers)
    return {
        "group_level_metrics": levels,
        "agent_metrics": overall,
        "key_metrics": {name: value for name, value in overall.items() if name.startswith("mean/")},
    }


def _numbers(row: Row) -> dict[str, float]:
    usage = (row.get("response") or {}).get("usage") if _is_object(row.get("response")) else None
    found = {}
    for source in (row, usage if _is_object(usage) else {}):
        for name, value in source.items():  # type: ignore[union-attr]
            if isinstance(value, int | float) and name not in _NO_FIELD:
                number = _float(value)
                if number is not None:
                    found[name] = number
    return found


def _float(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) < 1e150 else None


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _figures(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return {
        f"{figure}/{name}": compute(values)
        for name, values in columns.items()
        for figure, compute in _FIGURES
    }
