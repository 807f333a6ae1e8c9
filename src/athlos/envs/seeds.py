"""Seeds of generated tasks: each split has its own, and no two splits share one."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import Random
from typing import TypeVar

from athlos import ConfigError

__all__ = ["draw", "split_seeds"]

T = TypeVar("T")

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


def draw(label: str, seed: int, make: Callable[[Random], T], text: Callable[[T], str]) -> T:
    """What `make` draws for a seed, such that no text is drawn for seeds of two splits.

    Each text belongs to one split, by its checksum; drafts of the other split are drawn again.

    Args:
        label: Tells the generators apart.
        seed: One of `split_seeds`.
        make: Draws a task. Half of what it can draw at least must differ in its text.
        text: Of a task, what must not occur in both splits.
    """
    rng = Random(f"athlos {label} {seed}")
    while True:
        made = make(rng)
        if zlib.crc32(text(made).encode()) % 2 == (seed >= _FIRST["test"]):
            return made
