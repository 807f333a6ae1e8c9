"""Imports the libraries of the extra `tokens`, or says how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from athlos.errors import ConfigError

__all__ = ["required"]

INSTALL = "pip install 'athlos[tokens]'"


def required(module: str) -> Any:
    """A module of the extra, imported where it is first needed.

    Raises:
        ConfigError: It cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"Exact mode needs the library {module}, which cannot be imported: {error}",
            hint=f"Install the extra `tokens`: {INSTALL}",
        ) from error
