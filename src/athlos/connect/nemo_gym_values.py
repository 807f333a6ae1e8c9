"""Values of a NeMo Gym configuration that a run file takes over: numbers in their range, texts."""

from __future__ import annotations

import math
from typing import Any

from athlos.errors import ConfigError

__all__ = ["checked"]

_WHOLE: dict[str, tuple[float, float]] = {
    "samples": (1, math.inf), "limit": (1, math.inf), "concurrency": (1, math.inf),
    "max_turns": (1, math.inf), "max_tokens": (1, math.inf), "seed": (-math.inf, math.inf),
    "port": (1, 65535),
}  # fmt: skip
_REAL: dict[str, tuple[float, float]] = {"temperature": (0, math.inf), "top_p": (0, 1)}
_TEXTS = ("tasks", "host", "model", "base_url")


def checked(file: str, key: str, value: Any, setting: str) -> Any:
    """A value as the run file has it; one of a variable is text there, and a number here.

    Args:
        file: The configuration.
        key: Where the value stands in it.
        value: What it is.
        setting: What it becomes: a key of a run file, `host` or `port`.

    Raises:
        ConfigError: No run can have this value.
    """
    if setting in _TEXTS:
        many = setting == "base_url" and isinstance(value, list) and value
        if not all(isinstance(one, str) and one for one in (value if many else [value])):
            raise _wrong(file, key, value, "a text, or a list of texts" if many else "a text")
        return value
    if setting not in _WHOLE and setting not in _REAL:
        return value
    low, high = _WHOLE.get(setting) or _REAL[setting]
    number = _number(value)
    whole = setting in _WHOLE
    if number is None or not low <= number <= high or (whole and number != int(number)):
        raise _wrong(
            file, key, value, _expected("a whole number" if whole else "a number", setting)
        )
    return int(number) if whole else number


def _number(value: Any) -> int | float | None:
    """The finite number that a value is or spells; None if it does neither."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return int(value) if isinstance(value, (int, str)) else _finite(value)
    except ValueError:
        return _finite(value)


def _finite(value: float | str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _expected(kind: str, setting: str) -> str:
    low, high = _WHOLE.get(setting) or _REAL[setting]
    if high < math.inf:
        return f"{kind} from {low} to {high}"
    return f"{kind}, {low} or more" if low > -math.inf else kind


def _wrong(file: str, key: str, value: Any, expected: str) -> ConfigError:
    # a place in a list cannot be set by its name
    hint = "Change it in the file." if "[" in key else f"--set {key}=VALUE gives another one."
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
    return ConfigError(f"{file}: {key} must be {expected}, not {shown}", hint=hint)
