"""Which files make up an installed distribution and all that it requires."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from athlos.errors import ConfigError

__all__ = ["PACKAGES", "is_installed", "package_paths"]

PACKAGES = "/opt/packages"  # where they lie in a sandbox


def is_installed(name: str) -> bool:
    """Whether there is a distribution of this name."""
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def package_paths(names: Iterable[str]) -> list[Path]:
    """The folders and modules to show, each in the top of a `site-packages`.

    Raises:
        ConfigError: A distribution is not installed.
    """
    found: dict[Path, None] = {}
    seen: set[str] = set()
    waiting = [(name, True) for name in names]
    while waiting:
        name, wanted = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            tops, required = _contents(name)
        except importlib.metadata.PackageNotFoundError:
            if not wanted:  # required under a condition that does not hold here
                continue
            raise ConfigError(
                f"a sandbox is to have the package {name!r}, which is not installed",
                hint=f"Install it next to athlos: pip install {name}",
            ) from None
        found |= dict.fromkeys(tops)
        waiting += [(other, False) for other in required]
    return list(found)


@cache
def _contents(name: str) -> tuple[list[Path], list[str]]:
    """What a distribution has in `site-packages`, and what it requires."""
    distribution = importlib.metadata.distribution(name)
    tops = []
    for first in dict.fromkeys(file.parts[0] for file in distribution.files or ()):
        top = Path(str(distribution.locate_file(first))).resolve()
        if first not in ("..", "__pycache__") and top.exists():
            tops.append(top)
    required = []
    for line in distribution.requires or ():
        requirement, _, condition = line.partition(";")
        if "extra" not in condition and (match := re.match(r"[\w.-]+", requirement)):
            required.append(match[0])
    return tops, required
