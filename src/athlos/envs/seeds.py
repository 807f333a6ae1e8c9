"""Seeds of generated tasks: each split has its own, and no two splits share one."""

from __future__ import annotations

from athlos import ConfigError

__all__ = ["split_seeds"]

_FIRST = {"train": 0, "test": 1_000_000}


def split_seeds(split: str, size: int) -> range:
    """The seeds of the first `size` tasks of a split.

    Raises:
        ConfigError: There is no such split, or not that many seeds in one.
    """
    if split not in _FIRST:
        raise ConfigError(f"there is no split {split!r}", hint=f"There are: {', '.join(_FIRST)}")
    if not 1 <= size <= _FIRST["test"]:
        raise ConfigError(f"size must be 1 to {_FIRST['test']:,}, not {size}")
    return range(_FIRST[split], _FIRST[split] + size)
