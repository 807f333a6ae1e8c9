"""Difficulty of generated tasks: one level for all, or all levels in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from athlos import ConfigError
from athlos.envs.seeds import split_seeds

__all__ = ["seeds_and_levels"]


def seeds_and_levels(
    split: str, size: int, level: int, levels: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yields the seed and the level of each task of a split.

    Args:
        split: `train` or `test`.
        size: How many tasks.
        level: Of all of them; 0 takes the levels in turn.
        levels: Those that there are.

    Raises:
        ConfigError: There is no such split, size or level.
    """
    if level and level not in levels:
        known = ", ".join(map(str, levels))
        raise ConfigError(f"there is no level {level}", hint=f"Levels: {known}; 0 is all in turn.")
    for seed in split_seeds(split, size):
        yield seed, level or levels[seed % len(levels)]
