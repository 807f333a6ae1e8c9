"""NeMo Gym's baseline metrics of rollout rows: statistics of every number in them.

Source of names and formulas: the public repository NVIDIA-NeMo/Gym (its reward profile).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["INTERNAL", "describe", "group_metrics", "numbers"]

INTERNAL = ("_ng_task_index", "_ng_rollout_index")


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row, truth values among them, and those of its response's usage."""
    response = row.get("response")
    usage = response.get("usage") if isinstance(response, Mapping) else None
    found = {**row, **(usage if isinstance(usage, Mapping) else {})}
    return {
        name: value + 0
        for name, value in found.items()
        if isinstance(value, bool | int | float) and name not in INTERNAL
    }


def describe(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`mean/NAME`, `max/`, `min/`, `median/` and `std/` (of the sample) of each number.

    A standard deviation of one value is left out, unless all are of one value: then they are 0.
    """
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            if not math.isnan(value):
                columns.setdefault(name, []).append(value)
    found: dict[str, float] = {}
    for name, values in columns.items():
        found[f"mean/{name}"] = statistics.fmean(values)
        found[f"max/{name}"] = max(values)
        found[f"min/{name}"] = min(values)
        found[f"median/{name}"] = statistics.median(values)
    spread = {name: values for name, values in columns.items() if len(values) > 1}
    for name, values in (spread or columns).items():
        if spread:
            found[f"std/{name}"] = statistics.stdev(values)
        elif len(values) == len(rows):
            found[f"std/{name}"] = 0
    return found


def group_metrics(
    task_index: int,
    sample: Mapping[str, Any],
    rows: Sequence[Mapping[str, float]],
    places: Sequence[int],
    expected: int,
) -> dict[str, Any]:
    """The figures of one task.

    Args:
        task_index: Of the task.
        sample: Its row.
        rows: The numbers of its rollouts.
        places: `_ng_rollout_index` of each.
        expected: How many rollouts it was to have.
    """
    infos = [
        {
            "rollout_id": f"{task_index}:{place}",
            "_ng_task_index": task_index,
            "_ng_rollout_index": place,
            **row,
        }
        for place, row in zip(places, rows, strict=True)
    ]
    return {
        **describe(rows),
        "_ng_task_index": task_index,
        "sample": {k: v for k, v in sample.items() if k not in INTERNAL},
        "num_rollouts": len(rows),
        "expected_num_rollouts": expected,
        "missing_num_rollouts": max(expected - len(rows), 0),
        "reward_profile_completion_pct": 100.0 * len(rows) / max(expected, 1),
        "rollout_infos": infos,
    }
