"""Which versions of a trainer an adapter was tested with. Trainers change their seams often."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from athlos.errors import ConfigError

__all__ = ["require"]


def require(distribution: str, least: str, below: str, *, extra: str = "") -> str:
    """Checks that an installed framework is one that the adapter was tested with.

    Args:
        distribution: Its name, as it is installed.
        least: The lowest version that was tested.
        below: The lowest one that was not; pre-releases of it count as it.
        extra: What to install in place of the distribution, if not `distribution>=least,<below`.

    Returns:
        The version that is installed.

    Raises:
        ConfigError: It is not installed, or another version is; names both.
    """
    wanted = extra or f"{distribution}>={least},<{below}"
    try:
        found = version(distribution)
    except PackageNotFoundError:
        raise ConfigError(
            f"{distribution} is not installed; this adapter was tested with "
            f"{distribution} {least} up to, and without, {below}",
            hint=f"pip install '{wanted}'",
        ) from None
    if not _numbers(least) <= _numbers(found) < _numbers(below):
        raise ConfigError(
            f"{distribution} {found} is installed; this adapter was tested with "
            f"{distribution} {least} up to, and without, {below}",
            hint=f"pip install '{wanted}'",
        )
    return found


def _numbers(text: str) -> tuple[int, ...]:
    """The release of a version, without trailing zeros: what stands behind it does not matter."""
    match = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", text)
    numbers = [int(part) for part in match[1].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
